"""Histories that runs add to: equal to what the runs say one by one, repeated or not, with persons who merge and split."""

from __future__ import annotations

import os
import random
from hashlib import md5
from typing import Any

import duckdb
import pytest

from dbt_declarations.packed import Bit, Part, layout, packed
from tests.declarations.runs import History

SEEDS = range(int(os.environ.get("CDP_TEST_HISTORIES", "5")))
DAYS = [f"2026-02-{day:02} 00:00:00" for day in range(1, 9)]


def founded(identifier: str) -> str:
    """The person_id that models/identity/person_identifier.sql gives the person founded by an identifier."""
    return "p_" + md5(f"email:{identifier}".encode(), usedforsecurity=False).hexdigest()


def world(rng: random.Random) -> dict[str, set[str]]:
    """Identifier -> the person whose identifiers it belongs to, as a partition: founder -> members."""
    persons: dict[str, set[str]] = {}
    for n in range(10):
        founder = rng.choice(sorted(persons)) if persons and rng.random() < 0.35 else f"i{n}"
        persons.setdefault(founder, set()).add(f"i{n}")
    return persons


def fill(
    db: duckdb.DuckDBPyConnection,
    persons: dict[str, set[str]],
    members: set[tuple[str, str]],
    tagged: list[Any],
    day: str,
) -> None:
    """What the models read, as one run finds it."""
    db.execute(
        "create or replace table person (person_id varchar, person_number ubigint as (md5_number_lower(person_id)) virtual)"
    )
    db.execute(
        "create or replace table person_identifier (person_id varchar, identifier_type varchar, identifier_value varchar)"
    )
    db.execute("create or replace table member (segment varchar, person_id varchar)")
    db.execute("create or replace table tagged (person_id varchar, tag varchar, value varchar)")
    found = [(founded(f), i) for f, identifiers in sorted(persons.items()) for i in sorted(identifiers)]
    insert(db, "person", sorted({(p,) for p, _ in found}))
    insert(db, "person_identifier", [(p, "email", i) for p, i in found])
    insert(db, "member", sorted(members))
    insert(db, "tagged", tagged)
    History(db, "models/profiles/person_number.sql").run("")
    wide = {
        "int_tags__person_tagged": "select person_id, max(value) filter (tag = 'tier') as tier,"
        " coalesce(bool_or(tag = 'orders'), false) as orders from person left join tagged using (person_id) group by all",
        "int_segments__person_evaluated": "select person_id, coalesce(bool_or(segment = 'a'), false) as a"
        " from person left join member using (person_id) group by all",
    }
    for table, told in wide.items():
        kind, at, until = ("tags", "assigned", "removed") if "tags" in table else ("segments", "entered", "exited")
        recorded = [
            f"select {column} from int_{kind}__{model}"
            for model, column in (("begun", f"{at}_at"), ("stays", f"{at}_at"), ("stays", f"{until}_at"))
            if db.execute("select 1 from duckdb_tables() where table_name = ?", [f"int_{kind}__{model}"]).fetchall()
        ]
        # as the macro written_at says it: what is written again at an as_of that the history has recorded
        later = (
            " or ".join(f"exists (select 1 from ({q}) as t (told_at) where told_at >= '{day}')" for q in recorded)
            or "false"
        )
        again = bool(db.execute(f"select {later}").fetchall()[0][0])
        fresh = (
            "select person_number, columns(* exclude (person_id, person_number)),"
            " hash(columns(* exclude (person_id, person_number))) as digest,"
            f" timestamp '{day}' + to_microseconds({int(again)}) as written_at from ({told}) inner join person_number using (person_id)"
        ).replace("hash(columns(", "hash(*columns(")
        db.execute(f"create table if not exists {table} as {fresh} limit 0")
        # as models keep them: only who is new or has changed is written
        db.execute(f"create or replace temp table fresh as {fresh}")
        db.execute(f"delete from {table} where person_number not in (select person_number from fresh)")
        db.execute(f"delete from fresh where (person_number, digest) in (select (person_number, digest) from {table})")
        db.execute(f"delete from {table} where person_number in (select person_number from fresh)")
        db.execute(f"insert into {table} from fresh")
    db.execute(
        "create or replace view int_segments__members as select * from member inner join person_number using (person_id)"
    )
    for views, parts in BITS.items():
        db.execute(f"create or replace view {views[0]} as {packed(parts)}")
        db.execute(f"create or replace view {views[1]} as {layout(parts)}")


def draw(rng: random.Random) -> tuple[dict[str, set[str]], set[tuple[str, str]], list[Any]]:
    """Persons, members of segments and tags of one run."""
    persons = world(rng)
    people = [founded(p) for p in persons]
    members = {(s, p) for s in ("a", "b") for p in people if rng.random() < 0.5}
    tagged: list[Any] = [(p, "tier", rng.choice(["gold", "tin"])) for p in people if rng.random() < 0.6]
    tagged += [(p, "orders", str(rng.randrange(9))) for p in people if rng.random() < 0.6]
    tagged += [(p, "quiet", "x") for p in people]
    return persons, members, tagged


def insert(db: duckdb.DuckDBPyConnection, table: str, rows: list[Any]) -> None:
    """All rows in one statement."""
    if rows:
        marks = ", ".join(["(" + ", ".join("?" * len(rows[0])) + ")"] * len(rows))
        db.execute(f'insert into "{table}" values {marks}', [value for row in rows for value in row])


def is_now(person_id: str, persons: dict[str, set[str]]) -> str:
    """Who a person of the past is: the person of the identifier that founded them."""
    return next((founded(f) for f, ids in persons.items() if any(founded(i) == person_id for i in ids)), person_id)


def replayed(runs: list[tuple[str, dict[str, set[str]], set[Any]]]) -> list[tuple[str, ...]]:
    """The history said a second time: each stay is kept under who it was then, and ends when who they are now is no longer in.
    `runs`: as_of, persons, members as (key, ..., person). At the end stays of one person that overlap are joined."""
    stays: list[list[Any]] = []
    for day, persons, members in runs:
        for stay in stays:
            if stay[3] is None and (*stay[0], is_now(stay[1], persons)) not in members:
                stay[3] = day
        still = {(*s[0], s[1]) for s in stays if s[3] is None}
        stays += [[member[:-1], member[-1], day, None] for member in sorted(members - still, key=str)]
    last = runs[-1][1]
    found: dict[Any, list[list[Any]]] = {}
    for key, person, entered, left in sorted(stays, key=lambda s: (s[2], s[1], str(s[0]))):
        mine = found.setdefault((key, is_now(person, last)), [])
        if mine and (mine[-1][1] is None or entered <= mine[-1][1]):
            mine[-1][1] = None if None in (mine[-1][1], left) else max(mine[-1][1], left)
        else:
            mine.append([entered, left])
    return [tuple(map(str, (*key, person, *stay))) for (key, person), listed in found.items() for stay in listed]


BITS = {
    ("int_tags__tags_packed", "int_tags__layout"): [
        Part(
            "profile",
            (Bit("orders", "wide.orders"), Bit("tier", "wide.tier is not null", "wide.tier")),
            "int_tags__person_tagged",
            "wide",
        )
    ],
    ("int_segments__members_packed", "int_segments__layout"): [
        Part("declared", (Bit("a", "wide.a"),), "int_segments__person_evaluated", "wide")
    ],
}
MODELS = (
    *(f"models/{kind}/int_{kind}__{model}.sql" for kind in ("segments", "tags") for model in ("begun", "begun_layout")),
    "models/segments/int_segments__stays.sql",
    "models/tags/int_tags__stays.sql",
    "models/segments/segment_membership.sql",
    "models/tags/tag_history.sql",
)


def warehouse() -> tuple[duckdb.DuckDBPyConnection, list[History]]:
    """An empty warehouse with both histories, and the views that people read."""
    db = duckdb.connect()
    db.execute("create table segment (segment varchar, source varchar)")
    db.execute("insert into segment values ('a', 'declared'), ('b', 'model')")
    db.execute("create table tag (tag varchar, history varchar)")
    db.execute("insert into tag values ('tier', 'values'), ('orders', 'assignments'), ('quiet', 'none')")
    return db, [History(db, path) for path in MODELS]


def without_beginning(db: duckdb.DuckDBPyConnection) -> None:
    """Both histories as if each entry had been recorded as a change: what is there before a history begins with bits."""
    for kind, named, at, until in (
        ("segments", "name as segment", "entered_at", "exited_at"),
        ("tags", "name as tag, coalesce(kept_values[place], said) as value", "assigned_at", "removed_at"),
    ):
        db.execute(
            f"insert into int_{kind}__stays by name select {named}, person_number, recorded_number, {at}, null as {until}"
            f" from int_{kind}__begun inner join int_{kind}__begun_layout using (part) where bits[word] & mask <> 0"
        )
        db.execute(f"delete from int_{kind}__begun")


@pytest.mark.parametrize("seed", SEEDS)
def test_histories_of_random_runs(seed: int) -> None:
    """Who was in on each day is what the run of that day said, told of the persons that those of that day are now. A run that is
    repeated, or taken back by one with an earlier as_of, leaves no trace."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    db, histories = warehouse()
    told: dict[str, tuple[dict[str, set[str]], set[tuple[str, str]], list[Any]]] = {}
    position = 0
    drawn: Any = None
    while position < len(DAYS):
        persons, members, tagged = drawn or draw(rng)
        drawn = None
        told = {day: run for day, run in told.items() if day < DAYS[position]}
        told[DAYS[position]] = (persons, members, tagged)
        fill(db, persons, members, tagged, DAYS[position])
        for history in histories:
            for _ in range(rng.choice([1, 1, 2])):
                history.run(DAYS[position])
        if seed % 2 and len(told) == 1:
            without_beginning(db)
        if rng.random() < 0.3:
            # the wide tables of this day are made once more, but the histories wait for the next run
            drawn = draw(rng)
            fill(db, *drawn, DAYS[position])
        position += rng.choice([1, 1, 1, -1]) if position else 1
    stays = {"s": replayed([(day, run[0], run[1]) for day, run in told.items()])}
    stays["t"] = replayed(
        [(d, r[0], {(t, v if t == "tier" else None, p) for p, t, v in r[2] if t != "quiet"}) for d, r in told.items()]
    )
    for name, query in (("s", "segment_membership"), ("t", "tag_history")):
        columns = (
            "segment, person_id, entered_at, exited_at"
            if name == "s"
            else "tag, value, person_id, assigned_at, removed_at"
        )
        found = [tuple(map(str, row)) for row in db.execute(f"select {columns} from {query}").fetchall()]
        assert sorted(found) == sorted(stays[name]), (seed, query)
    now = told[max(told)][0]
    for day, (_, members, _) in told.items():
        on = "entered_at <= ?::timestamp and coalesce(exited_at > ?::timestamp, true)"
        rows = db.execute(f"select segment, person_id from segment_membership where {on}", [day, day]).fetchall()
        assert {(s, is_now(p, now)) for s, p in members} <= set(rows), (seed, day, "nobody is lost")
    twice = "select count(*) from {} where {} is null group by person_id, {} having count(*) > 1"
    assert db.execute(twice.format("segment_membership", "exited_at", "segment")).fetchall() == [], seed
    assert db.execute(twice.format("tag_history", "removed_at", "tag, value")).fetchall() == [], seed


@pytest.mark.parametrize("seed", list(SEEDS)[:2])
def test_replayed_runs_give_the_same_bytes(seed: int) -> None:
    """The same runs with the same data give the same history, however often each was repeated."""
    print(f"seed {seed}")
    results = []
    for repeats in (1, 3):
        rng = random.Random(seed)
        db, histories = warehouse()
        for day in DAYS:
            persons = world(rng)
            people = [founded(p) for p in persons]
            members = {("a", p) for p in people if rng.random() < 0.5}
            fill(db, persons, members, [(p, "tier", "gold") for p in people if rng.random() < 0.5], day)
            for _ in range(repeats):
                for history in histories:
                    history.run(day)
        results.append(
            [db.execute(f"select * from {t} order by all").fetchall() for t in ("segment_membership", "tag_history")]
        )
    assert results[0] == results[1], seed
    assert results[0][0] and results[0][1]
