"""Values of each kind of declaration on small tables, worked out by hand."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.declarations.scratch import build, compiled, runnable, warehouse, write, write_contracts

MODELS = Path(__file__).resolve().parents[2] / "dbt_project" / "models"


def at(day: str, hour: int = 0) -> datetime:
    """A moment of 2026: at("02-14", 9)."""
    return datetime.fromisoformat(f"2026-{day}T{hour:02}:00:00")


def fill(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows; columns that are not named are null."""
    for row in rows:
        columns = ", ".join(f'"{c}"' for c in row)
        marks = ", ".join("?" for _ in row)
        connection.execute(f'insert into "{table}" ({columns}) values ({marks})', list(row.values()))


@pytest.fixture
def db() -> duckdb.DuckDBPyConnection:
    """Three persons: a with facts, b without, t is a test person with the facts of a."""
    connection = warehouse()
    for person in ("a", "b", "t"):
        fill(connection, "person", [
            {"person_id": person, "first_seen_at": at("01-01"), "last_seen_at": at("02-20"), "is_test": person == "t",
             "is_bot": False, "city": "上海" if person == "a" else None,
             "account_key": "acc" if person == "a" else None},
        ])  # fmt: skip
    fill(connection, "account", [{"account_key": "acc", "industry": "hotels", "employees": 300, "country": "CN"}])
    for person in ("a", "t"):
        events = [
            ("e1", "Product Viewed", at("01-05"), "web", "p1", None, '{"category": "desk", "price": "10"}'),
            ("e2", "Product Viewed", at("02-10"), "app", "p2", 4.0, '{"category": "wall", "price": "2.5"}'),
            ("e3", "Product Viewed", at("02-10"), "web", "p1", 6.0, '{"category": "wall", "price": "no"}'),
            ("e4", "Product Viewed", at("02-11"), "", "p1", float("nan"), '{"category": "desk"}'),
            ("e5", "Survey Answered", at("02-28", 23), "web", None, 0.1, '{"score": 9}'),
            ("e6", "Survey Answered", at("03-01"), "web", None, 0.2, '{"score": 3}'),
            ("e7", "Survey Answered", at("03-02"), "web", None, 99.0, '{"score": 1}'),
        ]
        names = ("event_key", "event_name", "occurred_at", "channel", "product_id", "value", "properties")
        fill(connection, "person_event", [
            {"person_id": person, **dict(zip(names, e, strict=True)), "event_key": e[0] + person} for e in events
        ])  # fmt: skip
    fill(
        connection,
        "person_event",
        [{"person_id": None, "event_key": "lost", "occurred_at": at("02-01"), "channel": "web"}],
    )
    return connection


def tags(db: duckdb.DuckDBPyConnection, project: Path, declared: dict[str, str]) -> dict[str, dict[str, Any]]:
    """person_tags by person and tag, for declarations by name."""
    write_contracts(project)
    write(project, "defaults.yml", "owner: x\ndescription: y\nexclude: is_test or is_bot\n")
    for name, text in declared.items():
        write(project, f"tags/{name}.yml", text)
    build(db, compiled(project))
    result = db.execute("select * from person_tags order by person_id")
    columns = [d[0] for d in result.description or []]
    return {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in result.fetchall()}


STATISTICS: dict[str, tuple[str, Any, Any]] = {
    "count": ("aggregate: count", 6, 0),
    "count_where": ("aggregate: count\nwhere: channel = 'web'", 4, 0),
    "count_window": ("aggregate: count\nwindow_days: 19", 3, 0),
    "window_edge_is_out": ("aggregate: count\nwindow_days: 18", 2, 0),
    "distinct_products": ("aggregate: count_distinct\nof: product_id", 2, 0),
    "sum": ("aggregate: sum\nof: value", 10.3, 0),
    "sum_of_property": ("aggregate: sum\nof: property_number('price')", 12.5, 0),
    "avg": ("aggregate: avg\nof: value\nwhere: value > 1 and value < 100", 5.0, None),
    "min": ("aggregate: min\nof: value", 0.1, None),
    "max": ("aggregate: max\nof: value", 6.0, None),
    "max_is_text": ("aggregate: max\nof: channel", "web", None),
    "first": ("aggregate: first\nof: channel", "web", None),
    "last": ("aggregate: last\nof: property_number('score')", 3.0, None),
    "last_of_equal_times": ("aggregate: last\nof: product_id\nwhere: occurred_at = '2026-02-10'", "p2", None),
    "channel_of_equal_times": ("aggregate: last\nof: channel\nwhere: occurred_at = '2026-02-10'", "app", None),
    "first_of_equal_times": ("aggregate: first\nof: product_id\nwhere: occurred_at = '2026-02-10'", "p1", None),
    "first_channel_of_equal_times": ("aggregate: first\nof: channel\nwhere: occurred_at = '2026-02-10'", "web", None),
    "last_day": ("aggregate: last\nof: occurred_at", date(2026, 3, 1), None),
    "favourite": ("aggregate: most_frequent\nof: product_id", "p1", None),
    "favourite_of_equals_is_the_latest": ("aggregate: most_frequent\nof: property('category')", "desk", None),
    "days_since": ("aggregate: days_since\nwhere: event_name = 'Product Viewed'", 18, None),
    "days_since_is_whole_days": ("aggregate: days_since\nwhere: property_number('score') = 9", 0, None),
    "channels": ("aggregate: collect\nof: channel", ["app", "web"], None),
    "nothing": ("aggregate: count\nwhere: event_name = 'None such'", 0, 0),
    "nothing_first": ("aggregate: first\nof: channel\nwhere: event_name = 'None such'", None, None),
}


def test_each_aggregate(db: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Values for the person with facts and the one without; the excluded person has no row."""
    declared = {n: f"type: statistical\nover: event\n{text}\n" for n, (text, _, _) in STATISTICS.items()}
    found = tags(db, tmp_path, declared)
    assert set(found) == {"a", "b"}
    assert found["a"] == {n: expected for n, (_, expected, _) in sorted(STATISTICS.items())}
    assert found["b"] == {n: expected for n, (_, _, expected) in sorted(STATISTICS.items())}


def test_rules_groups_cases_and_dates(db: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Unknown is not true; the first case and the least priority win; a tag holds from since until before expires."""
    found = tags(db, tmp_path, {
        "views": "type: statistical\nover: event\naggregate: count\nwhere: event_name = 'Product Viewed'\n",
        "local": "type: rule\nwhen: city = '上海'\n",
        "not_local": "type: rule\nwhen: city <> '上海'\n",
        "hotel": "type: rule\nwhen: account.industry = 'hotels' and account.employees / 0 is null\n",
        "gold": "type: rule\nwhen: views >= 4\ngroup: club\npriority: 1\n",
        "silver": "type: rule\nwhen: views >= 2\ngroup: club\npriority: 2\n",
        "bronze": "type: rule\nwhen: true\ngroup: club\npriority: 30\n",
        "size": "type: rule\ncases:\n  - {value: big, when: views > 3}\n  - {value: some, when: views > 0}\n"
                "otherwise: none\n",
        "not_yet": "type: rule\nwhen: true\nsince: 2026-03-02\n",
        "since_today": "type: rule\nwhen: true\nsince: 2026-03-01\n",
        "over": "type: rule\nwhen: true\nexpires: 2026-03-01\n",
        "after_over": "type: rule\nwhen: not coalesce(over, false)\n",
        "place": "type: attribute\nvalue: upper(coalesce(city, ''))\n",
    })  # fmt: skip
    assert found["a"] == {
        "after_over": True, "bronze": False, "gold": True, "hotel": True, "local": True, "not_local": False,
        "not_yet": None, "over": None, "place": "上海", "silver": False, "since_today": True, "size": "big", "views": 4,
    }  # fmt: skip
    assert {k: found["b"][k] for k in ("bronze", "gold", "silver", "local", "not_local", "size", "place")} == {
        "bronze": True, "gold": False, "silver": False, "local": False, "not_local": False,
        "size": "none", "place": None,
    }  # fmt: skip


def test_assignments_say_since_when(db: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """A row only for what says something; since_at is the newest fact behind the value, never after as_of."""
    fill(db, "int_tags__manual_resolved", [
        {"person_id": "a", "tag": "plan", "value": "x|y|x", "set_at": at("01-15"), "problem": None},
        {"person_id": "a", "tag": "plan", "value": "z", "set_at": at("01-16"), "problem": "not_allowed"},
        {"person_id": "b", "tag": "plan_size", "value": "2.50", "set_at": at("01-17"), "problem": None},
    ])  # fmt: skip
    write(tmp_path, "models/tags/tag_rhythm.sql", "select 1")
    write(tmp_path, "models/tags/tag_rhythm.yml",
          "models:\n- name: tag_rhythm\n  columns:\n  - {name: person_id, data_type: varchar}\n"
          "  - {name: value, data_type: double}\n")  # fmt: skip
    db.execute("create table tag_rhythm as select 'a' as person_id, 7.0::double as value")
    tags(db, tmp_path, {
        "views": "type: statistical\nover: event\naggregate: count\nwhere: event_name = 'Product Viewed'\n",
        "channels": "type: statistical\nover: event\naggregate: collect\nof: channel\n",
        "looker": "type: rule\nwhen: views > 0\n",
        "local_looker": "type: rule\nwhen: looker and city is not null\n",
        "plan": "type: manual\nvalue_type: list\n",
        "plan_size": "type: manual\nvalue_type: number\n",
    })  # fmt: skip
    rows = db.execute("select person_id, tag, value, since_at from int_tags__tags_unpivoted order by all").fetchall()
    assert rows == [
        ("a", "channels", '["app","web"]', at("03-01")),
        ("a", "local_looker", "true", at("02-20")),
        ("a", "looker", "true", at("02-11")),
        ("a", "plan", '["x","y"]', at("01-15")),
        ("a", "rhythm", "7", at("02-20")),
        ("a", "views", "4", at("02-11")),
        ("b", "plan_size", "2.5", at("01-17")),
    ]


def test_segments_with_exclude_nesting_and_handwritten(db: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Segments build on tags, scores, stages and other segments; unknown in `exclude` leaves nobody out."""
    write(tmp_path, "models/segments/segment_friends.sql", "select 1")
    db.execute("create table segment_friends as select unnest(['a', 'a', 't']) as person_id")
    fill(db, "person_lifecycle", [{"person_id": "a", "model": "m", "stage": "one", "entered_at": at("02-01")}])
    fill(db, "person_score", [{"person_id": "a", "score": "hot", "points": 12.5, "grade": "A"}])
    write(
        tmp_path,
        "scores/hot.yml",
        "type: points\nrules: [{name: r, dimension: fit, points: 1, when: is_test}]\ngrades: [{grade: A}]\n",
    )
    write(tmp_path, "lifecycle.yml", "owner: x\ndescription: y\nmodels: [{name: m, description: z, stages: "
          "[{name: one, description: d, from: [start], enter: [{over: person}]}]}]\n")  # fmt: skip
    for name, text in {
        "everybody": "where: true",
        "locals": "where: city = '上海'",
        "others": "where: in_segment('everybody')\nexclude: segment.locals",
        "nobody_left_out": "where: true\nexclude: city = 'Berlin'",
        "hot_ones": "where: score.hot > 12 and hot_grade = 'A' and m_stage = 'one' and days_since(m_entered_at) = 28",
        "local_friends": "where: in_segment('friends') and in_segment('locals')",
        "later": "where: true\nsince: 2027-01-01",
    }.items():
        write(tmp_path, f"segments/{name}.yml", text + "\n")
    tags(db, tmp_path, {})
    members: dict[str, list[str]] = {}
    for segment, person in db.execute("select segment, person_id from int_segments__members order by all").fetchall():
        members.setdefault(segment, []).append(person)
    assert members == {
        "everybody": ["a", "b"], "friends": ["a"], "hot_ones": ["a"], "local_friends": ["a"], "locals": ["a"],
        "nobody_left_out": ["a", "b"], "others": ["b"],
    }  # fmt: skip


def test_score_and_reasons_add_up(db: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Decay, caps of rules and dimensions, negative points, eligibility; the reasons add up to the score."""
    db.execute("drop table person_score")
    write(tmp_path, "scores/lead.yml", """type: points
eligible: city is not null or person_id_is_unknown
dimensions: {interest: {cap: 10}}
rules:
  - {name: industry, dimension: fit, points: 7, when: "account.industry = 'hotels'"}
  - name: views
    dimension: interest
    points: 8
    over: event
    where: event_name = 'Product Viewed'
    half_life_days: 18
    cap: 9
  - {name: surveys, dimension: interest, points: 3, over: event, where: "event_name = 'Survey Answered'"}
  - {name: low_score, dimension: intent, points: -4, over: event, where: "property_number('score') < 5", cap: 3}
  - {name: never, dimension: intent, points: 50, over: event, where: "event_name = 'None such'"}
grades: [{grade: A, at_least: 14}, {grade: B}]
""".replace(" or person_id_is_unknown", ""))  # fmt: skip
    tags(db, tmp_path, {})
    for model in ("score_reason", "person_score"):
        db.execute(
            f"create table {model} as {runnable((MODELS / 'scores' / f'{model}.sql').read_text(encoding='utf-8'))}"
        )
    # views: two on 02-10 (19 days), one on 02-11 (18 days: half), one on 01-05; together above the cap of 9
    reasons = db.execute("select rule, dimension, points, fact_count from score_reason order by rule").fetchall()
    assert reasons == [
        ("dimension_cap", "interest", -5.0, 0),
        ("industry", "fit", 7.0, 1),
        ("low_score", "intent", -3.0, 1),
        ("surveys", "interest", 6.0, 2),
        ("views", "interest", 9.0, 4),
    ]
    assert db.execute("select person_id, points, grade, fit, interest, intent from person_score").fetchall() == [
        ("a", 14.0, "A", 7.0, 10.0, -3.0)
    ]
