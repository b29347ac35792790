"""`cdp segment`: sizes, members, unsaved conditions, explanations and overlaps, on a small built warehouse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from cdp.commands.segment import app
from cdp.errors import CdpError
from tests.declarations.scratch import settings, write, write_contracts

TABLES = """
create schema profiles; create schema tags; create schema scores; create schema segments; create schema identity;
create table profiles.person as select * from (values
    ('p1', 'a@x.example', 'Berlin', 'acc'), ('p2', 'b@x.example', 'Paris', null), ('p3', null, null, null), ('p4', null, 'Berlin', null)
) as t (person_id, email, city, account_key);
create table profiles.audience as select person_id from profiles.person where person_id <> 'p4';
create table profiles.person_traits as select person_id, length(person_id)::bigint as order_count from profiles.person;
create table profiles.lifecycle_stage as select 'm' as model;
create table profiles.person_lifecycle as select 'p1' as person_id, 'm' as model, 'won' as stage, timestamp '2026-01-01' as entered_at;
create table tags.person_tags as select * from (values ('p1', 5.0::double, 'gold'), ('p2', 50.0, 'tin'), ('p3', null, null))
    as t (person_id, revenue, tier);
create table scores.score_grade as select 'hot' as score;
create table scores.person_score as select 'p1' as person_id, 'hot' as score, 7.25::decimal(18, 2) as points, 'A' as grade;
create table scores.person_prediction as select * from (values ('p1', 0.9, 1), ('p2', 0.2, 2)) as t (person_id, probability, decile), (
    select 'leaves' as model, null::double as expected_orders, null::double as expected_value, timestamp '2026-02-28' as scored_as_of);
create table segments.segment as select * from (values ('rich', 'o', null), ('rich__holdout', 'o', 'rich'), ('locals', 'o', null))
    as t (segment, owner, part_of);
create table segments.int_segments__members as select * from (values ('rich', 'p2'), ('locals', 'p1')) as t (segment, person_id);
create table segments.segment_membership as select * from (values
    ('rich', 'p2', timestamp '2026-02-01', null::timestamp), ('rich', 'p1', timestamp '2026-01-10', timestamp '2026-02-01'),
    ('locals', 'p1', timestamp '2026-01-01', null), ('locals', 'p2', timestamp '2026-01-05', null)
) as t (segment, person_id, entered_at, exited_at);
create table segments.person_list as select 'vip' as list, 'p3' as person_id;
create table identity.person_identifier as select * from (values ('p1', 'email', 'a@x.example'), ('p2', 'email', 'b@x.example'))
    as t (person_id, identifier_type, identifier_value);
"""


@pytest.fixture
def cdp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `cdp segment` on the small warehouse; (exit code or error, output)."""
    own = settings(tmp_path).model_copy(update={"as_of": "2026-03-01"})
    own.warehouse_path.parent.mkdir(parents=True)
    with duckdb.connect(str(own.warehouse_path)) as con:
        con.execute(TABLES)
    write_contracts(own.dbt_dir)
    write(own.dbt_dir, "segments/rich.yml",
          "where: revenue > 10 and (city = 'Paris' or not tier = 'tin') and email like '%x.example'\n"
          "exclude: in_segment('locals')\nholdout: {percent: 10}\n")  # fmt: skip
    monkeypatch.setattr("cdp.settings.get_settings", lambda: own)

    def run(*arguments: str) -> tuple[Any, str]:
        result = CliRunner().invoke(app, list(arguments))
        failed = isinstance(result.exception, CdpError)
        return (result.exception if failed else result.exit_code), result.stdout

    return run


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("revenue > 4", 2),
        ("revenue > 4 and city = 'Berlin'", 1),
        ("not (tier = 'gold')", 1),
        ("in_segment('rich') or in_list('vip')", 2),
        ("score.hot > 7 and hot_grade = 'A' and m_stage = 'won' and days_since(m_entered_at) = 59", 1),
        ("order_count = 2", 3),
        ("prediction.leaves > 0.5 and prediction.leaves_decile = 1 and days_since(prediction.leaves_scored_at) = 1", 1),
        ("true", 3),
    ],
)
def test_count_of_what_is_not_saved(cdp: Any, where: str, expected: int) -> None:
    """Tags, profile, segments, lists, scores and stages; only the audience counts, unknown is not true."""
    code, out = cdp("count", "--where", where, "--json")
    assert code == 0
    assert json.loads(out) == {"where": where, "count": expected, "of": 3}


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("revenu > 4", 'did you mean "revenue"?'),
        ("revenue > 'a'", "compared with a text"),
        ("revenue", "true/false"),
        ("in_segment('poor')", 'unknown segment "poor"'),
        ("1 = 1; drop table x", "one expression without side effect"),
        ("(select count(*) from profiles.person) > 0", "a subquery stands in"),
    ],
)
def test_a_wrong_condition_says_what_is_wrong(cdp: Any, where: str, said: str) -> None:
    error, _ = cdp("count", "--where", where)
    assert isinstance(error, CdpError) and error.exit_code == 2
    assert said in error.render()


def test_members_now_and_on_a_day(cdp: Any) -> None:
    """A day is looked at at its end: who left on it is not in, who entered on it is."""
    for day, expected in (
        ("", ["p2"]),
        ("2026-02-01", ["p2"]),
        ("2026-01-31", ["p1"]),
        ("2026-01-10", ["p1"]),
        ("2026-01-09", []),
    ):
        code, out = cdp("show", "rich", "--json", *(["--on", day] if day else []))
        assert code == 0
        assert [m["person_id"] for m in json.loads(out)["members"]] == expected, day
    assert cdp("show", "rich", "--on", "yesterday")[0].exit_code == 2
    assert "did you mean" in cdp("show", "rihc")[0].render()


def test_explain_tells_each_condition_and_hides_personal_data(cdp: Any) -> None:
    code, out = cdp("explain", "B@x.example", "rich", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["person_id"], told["entered_at"]) == ("p2", "2026-02-01 00:00:00")
    holds = [(c["key"], c["depth"], c["condition"], c["holds"]) for c in told["conditions"]]
    assert holds[1:8] == [
        ("where", 1, "revenue > 10", True),
        ("where", 1, "city = 'Paris' OR NOT tier = 'tin'", True),
        ("where", 2, "city = 'Paris'", True),
        ("where", 2, "NOT tier = 'tin'", False),
        ("where", 3, "tier = 'tin'", True),
        ("where", 1, "email LIKE '%x.example'", True),
        ("exclude", 0, "in_segment('locals')", False),
    ]
    assert told["conditions"][-1]["key"] == "holdout"
    assert "b@x.example" not in out and '"person.email": "(hidden)"' in out
    assert "b@x.example" in cdp("explain", "p2", "rich", "--show-pii")[1]
    assert "not in rich" in cdp("explain", "p1", "rich")[1]
    assert cdp("explain", "nobody", "rich")[0].exit_code == 2


def test_explain_tells_who_comes_before_and_the_place_in_a_limit(cdp: Any, tmp_path: Path) -> None:
    """Of a group: which earlier segment fits. Of a limit: the place in its order among those who fit, with the values."""
    own = settings(tmp_path)
    with duckdb.connect(str(own.warehouse_path)) as con:
        con.execute(
            "insert into segments.segment values ('gold', 'o', null), ('silver', 'o', null), ('few', 'o', null)"
        )
    write(own.dbt_dir, "segments/gold.yml", "where: revenue > 20\ngroup: club\npriority: 1\n")
    write(own.dbt_dir, "segments/silver.yml", "where: revenue > 0\ngroup: club\npriority: 2\n")
    write(own.dbt_dir, "segments/few.yml", "where: order_count = 2\nlimit: {most: 1, order_by: revenue}\n")

    def told(person: str, segment: str) -> list[Any]:
        code, out = cdp("explain", person, segment, "--json")
        assert code == 0, code
        conditions = json.loads(out)["conditions"]
        return [(c["key"], c["condition"], c["holds"], c["values"]) for c in conditions][1:]

    assert told("p2", "silver") == [("group", "gold (priority 1) does not fit", False, {})]
    assert told("p1", "silver") == [("group", "gold (priority 1) does not fit", True, {})]
    assert told("p2", "gold") == []
    places = {person: told(person, "few")[0] for person in ("p1", "p2")}
    said = "among the first 1 by revenue: is number {}"
    assert places == {
        "p2": ("limit", said.format(1), True, {"tag.revenue": 50.0}),
        "p1": ("limit", said.format(2), False, {"tag.revenue": 5.0}),
    }


def test_sizes_and_overlap(cdp: Any, tmp_path: Path) -> None:
    rows = json.loads(cdp("list", "--json")[1])
    assert [(r["segment"], r["part_of"], r["members"], r["entered"], r["left"]) for r in rows] == [
        ("locals", None, 2, 0, 0), ("rich", None, 1, 1, 1), ("rich__holdout", "rich", 0, 0, 0),
    ]  # fmt: skip
    picture = tmp_path / "overlap.png"
    code, out = cdp("overlap", "rich", "locals", "--json", "--plot", str(picture))
    assert code == 0
    assert json.loads(out[: out.rindex("}") + 1]) == {"segments": ["rich", "locals"], "shared": [[1, 1], [1, 2]]}
    assert picture.read_bytes().startswith(b"\x89PNG")
