"""Aggregates that are kept from run to run are those of a rebuild, whatever happened to facts, persons and time in between."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.declarations.runs import History, run
from tests.declarations.scratch import build, compiled, warehouse, write, write_contracts
from tests.declarations.test_one_pass import declared_tags, facts

SEEDS = range(int(os.environ.get("CDP_TEST_TOUCHED", "2")))
PERSONS = 30
BOUGHT = "timestamp '2026-02-20' as ordered_at, 5.0 as net_value"
SESSIONS = """create or replace table person_session as select person_id, occurred_at as started_at,
    row_number() over (partition by person_id order by occurred_at desc, event_key) - 1 as sessions_ago from person_event"""


def declare(folder: Path, tags: dict[str, dict[str, Any]], everybody: bool = False) -> dict[str, str]:
    """The generated models of these tags, and of one with a window of sessions, one over orders, and some that days alone change.
    `everybody`: also of what is computed for everybody, as one person's depends on others, or days on another rule."""
    for old in (folder / "tags").glob("*.yml"):
        old.unlink()
    write(folder, "tags/quiet_days.yml", "type: statistical\nover: event\naggregate: days_since\nwindow_days: 20\n")
    write(folder, "tags/asleep.yml", "type: rule\nwhen: quiet_days > 3 or days_since(last_seen_at) > 9\n")
    write(folder, "tags/campaign.yml", "type: rule\nwhen: city is null\nsince: 2026-02-11\nexpires: 2026-02-20\n")
    write(
        folder, "segments/away.yml", "where: quiet_days > 5 or days_since(last_seen_at) between 4 and 12 or campaign\n"
    )
    spring = "since: 2026-02-11\nexpires: 2026-02-18\n"
    write(folder, "tags/spring.yml", f"type: statistical\nover: event\naggregate: last\nof: channel\n{spring}")
    write(
        folder, "tags/spring_days.yml", f"type: statistical\nover: event\naggregate: count\n{spring}history: values\n"
    )
    write(
        folder,
        "tags/size.yml",
        "type: rule\ncases: [{value: big, when: visits > 4}, {value: some, when: visits > 1}]\n",
    )
    write(
        folder,
        "tags/word.yml",
        "type: attribute\nvalue: case when last_seen_at < '2026-02-05' then 'early' when city is null then '' end\n",
    )
    write(folder, "segments/elsewhere.yml", "where: not campaign\n")
    if everybody:
        write(
            folder,
            "tags/lately.yml",
            "type: statistical\nover: order\naggregate: count\nwhere: days_since(ordered_at) < 3\n",
        )
        write(folder, "tags/seen.yml", "type: attribute\nvalue: last_seen_at\n")
        write(folder, "tags/gone.yml", "type: rule\nwhen: days_since(seen) > 9\n")
        write(folder, "segments/first.yml", "where: active\nlimit: {most: 4, order_by: visits, descending: true}\n")
    for name, tag in tags.items():
        text = f"type: statistical\nover: event\naggregate: {tag['aggregate']}\nwhere: |\n  {tag['where']}\n"
        text += f"of: {tag['of']}\n" if tag["of"] else ""
        text += f"window_days: {tag['window']}\n" if tag["window"] else ""
        write(folder, f"tags/{name}.yml", text)
    write(folder, "tags/active.yml", "type: rule\nwhen: visits > 1 or bought > 0 and city is null\n")
    write(folder, "segments/busy.yml", "where: active and visits > 2\nholdout: {percent: 30}\n")
    write(folder, "tags/visits.yml", "type: statistical\nover: event\naggregate: count\nwindow_sessions: 2\n")
    write(folder, "tags/bought.yml", "type: statistical\nover: order\naggregate: sum\nof: net_value\nwindow_days: 9\n")
    return compiled(folder)


def happen(rng: random.Random, db: duckdb.DuckDBPyConnection, number: int) -> None:
    """Something between two runs: new and late events, a merge, a split, an erasure, a corrected value."""
    what = rng.choice(["news", "merge", "split", "erase", "correct", "seen", "nothing"])
    one, other = (f"p{rng.randrange(PERSONS)}" for _ in range(2))
    if what == "news":
        for row in facts(rng, PERSONS, 12):
            db.execute(
                "insert into person_event values (?, ?, ?, ?::timestamp, ?, ?, ?, ?, ?)",
                [row[0], f"n{number}{row[1]}", *row[2:]],
            )
        db.execute(
            f"insert into person_order by name select ? as person_id, ? as order_key, {BOUGHT}",
            [one, f"o{number}"],
        )
    elif what == "merge":
        db.execute("update person_event set person_id = ? where person_id = ?", [one, other])
    elif what == "split":
        db.execute("update person_event set person_id = ? where person_id = ? and channel = 'web'", [other, one])
    elif what == "erase":
        db.execute("delete from person_event where person_id = ?", [one])
        db.execute("delete from person where person_id = ?", [other])
    elif what == "seen":
        db.execute("update person set last_seen_at = timestamp '2026-02-14' where person_id = ?", [one])
    elif what == "correct":
        db.execute("update person_event set value = 77 where person_id = ? and event_name = 'Page Viewed'", [one])
    db.execute(SESSIONS)


# Tags with a history, as bits and as rows of tag_assignment: the same, and the value where the history keeps it
SAID = (
    """select packed.person_number, layout.name, coalesce(packed.kept_values[layout.place], layout.said)
    from int_tags__tags_packed as packed inner join int_tags__layout as layout on layout.part = packed.part
    where packed.bits[layout.word] & layout.mask <> 0 order by all""",
    """select md5_number_lower(told.person_id), told.tag, case when tag.history = 'values' then told.value end
    from int_tags__tags_unpivoted as told inner join tag on tag.tag = told.tag where tag.history <> 'none' order by all""",
    """select packed.person_number, layout.name from int_segments__members_packed as packed
    inner join int_segments__layout as layout on layout.part = packed.part
    where packed.bits[layout.word] & layout.mask <> 0 order by all""",
    "select person_number, segment from int_segments__members order by all",
)


def contents(db: duckdb.DuckDBPyConnection, tables: tuple[str, ...]) -> dict[str, list[Any]]:
    """All rows of each table or view, but for the run that wrote them."""
    return {
        t: db.execute(f"select columns(lambda c: c <> 'written_at') from {t} order by all").fetchall() for t in tables
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_kept_aggregates_are_those_of_a_rebuild(tmp_path: Path, seed: int) -> None:
    """Runs over changing facts, persons and moments (also backwards): after each, every tag and the kept tables are to the last bit
    those of a warehouse that has never run before."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    write_contracts(tmp_path)
    models = declare(tmp_path, declared_tags(rng, 8), everybody=seed % 5 == 1)
    db = warehouse()
    db.execute(
        f"insert into person by name select 'p' || i as person_id, timestamp '2026-02-01' + to_days((i % 12)::int) as last_seen_at,"
        f" case when i % 3 = 0 then 'Ulm' end as city from range({PERSONS}) t(i)"
    )
    db.execute(f"insert into person_order by name select null as person_id, 'nobody' as order_key, {BOUGHT}")
    for row in facts(rng, PERSONS, 400):
        db.execute("insert into person_event values (?, ?, ?, ?::timestamp, ?, ?, ?, ?, ?)", list(row))
    db.execute(SESSIONS)
    tables = ("int_tags__events_aggregated", "int_tags__orders_aggregated", "int_tags__person_tagged")
    tables += ("int_segments__person_evaluated",)
    told = ("person_tags", "int_tags__tags_unpivoted", "int_segments__members")
    moment = "2026-02-10 00:00:00"
    for step in range(6):
        run(db, models, moment)
        kept = contents(db, tables + told)
        tags, assigned, segments, members = (db.execute(query).fetchall() for query in SAID)
        assert tags == assigned and segments == members, (seed, step, moment)
        for table in tables:
            db.execute(f"create or replace table saved_{table} as from {table}")
        build(db, models, moment, views=True)
        rebuilt = contents(db, tables + told)
        for table in tables + told:
            assert kept[table] == rebuilt[table], (seed, step, moment, table)
        for table in tables:
            db.execute(f"create or replace table {table} as from saved_{table}")
        happen(rng, db, step)
        moment = rng.choice(
            [moment, "2026-02-11 00:00:00", "2026-02-18 12:00:00", "2026-03-01 00:00:00", "2026-02-01 00:00:00"]
        )


def test_only_those_whose_facts_changed_are_computed_again(tmp_path: Path) -> None:
    """A value that somebody put into the kept table stays until one of the person's own facts changes."""
    write_contracts(tmp_path)
    models = declare(tmp_path, {})
    db = warehouse()
    db.execute("insert into person (person_id) values ('p1'), ('p2')")
    db.execute(
        f"insert into person_order by name select 'p' || i as person_id, 'o' || i as order_key, {BOUGHT} from range(1, 3) t(i)"
    )
    db.execute(SESSIONS)

    def after(moment: str) -> dict[str, float]:
        build(db, {n: s for n, s in models.items() if n == "audience" or n.endswith("_digested")}, moment)
        History(db, "int_tags__orders_aggregated", models["int_tags__orders_aggregated"]).run(moment)
        return dict(db.execute("select person_id, bought from int_tags__orders_aggregated").fetchall())

    assert after("2026-02-21") == {"p1": 5.0, "p2": 5.0}
    db.execute("update int_tags__orders_aggregated set bought = 99")
    assert after("2026-02-22") == {"p1": 99.0, "p2": 99.0}
    db.execute("update person_order set net_value = 6 where person_id = 'p2'")
    assert after("2026-02-22") == {"p1": 99.0, "p2": 6.0}
    assert after("2026-03-01") == {"p1": None, "p2": None}
