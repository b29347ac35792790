"""Random identity graphs, and what the engine makes of them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from tests.identity.engine import Engine
from tests.identity.oracle import Answer, Match, Name, Override, Seen, Type, key

BLOCKED = "case when __value__ = 'nobody' then 'a placeholder' end"
TABLES = (
    "identifier", "record_identifier", "identity_edge", "identity_person", "person_identifier", "record_person", "identity_refusal",
)  # fmt: skip


def random_rules(rng: random.Random) -> dict[str, Type]:
    """Four types with random tiers, limits, periods and fan-outs."""
    return {
        name: Type(
            priority=priority,
            tier=rng.choice([1, 1, 2, 3]),
            most=rng.choice([None, 1, 1, 2, 3]),
            period=rng.choice([None, None, None, "day", "week", "month", "year"]),
            shared_above=rng.choice([None, None, 1, 2]),
        )
        for priority, name in enumerate(rng.sample(["user_id", "email", "phone", "anonymous_id"], 4), 1)
    }


def random_rows(rng: random.Random, types: dict[str, Type], records: int) -> list[Seen]:
    """Records with one to four identifiers drawn from few values, so that graphs go from dust to one lump."""
    values = max(2, int(records * rng.choice([0.3, 0.6, 1.0, 2.0])))
    rows: dict[tuple[str, Name], Seen] = {}
    for number in range(records):
        tier = rng.choice([None, None, None, 1, 2, 4])
        for _ in range(rng.choice([1, 2, 2, 2, 3, 4])):
            kind = rng.choice(list(types))
            value = "nobody" if rng.random() < 0.02 else f"v{rng.randrange(values)}"
            sequence = number + rng.choice([0, 0, 0, 1, 5])
            day = rng.choice([None, date(2026, 1, 1) + timedelta(rng.randrange(60))])
            row = Seen(f"r{number}", sequence, kind, value, tier, day)
            rows[row.record, row.name] = row
    return list(rows.values())


def random_overrides(rng: random.Random, rows: list[Seen]) -> list[Override]:
    """A few decisions, some about identifiers that nobody has, some that contradict each other, some in a circle."""
    names = [*sorted({r.name for r in rows}), ("email", "unheard of")]
    found = []
    for _ in range(rng.choice([0, 0, 1, 3, 8])):
        left, right = rng.choice(names), rng.choice(names)
        if left != right:
            found.append(Override(rng.choice(["merge", "never"]), left, right, date(2026, 1, 1) + timedelta(rng.randrange(5))))  # fmt: skip
    return list(dict.fromkeys(found))


def random_matches(rng: random.Random, rows: list[Seen]) -> list[Match]:
    """A few pairs of identifiers that a model takes for one person."""
    names = sorted({r.name for r in rows})
    found = {}
    for _ in range(rng.choice([0, 0, 2, 6])):
        left, right = sorted(rng.sample(names, 2), key=key) if len(names) > 1 else (names[0], names[0])
        if left != right:
            found[left, right] = Match(left, right, rng.choice([2.5, 9.0, 9.7, 20.1]))
    return list(found.values())


def set_matches(engine: Engine, matches: Iterable[Match]) -> None:
    """Replace the matched pairs."""
    engine.con.execute("delete from identity_match")
    for m in matches:
        engine.con.execute(
            "insert into identity_match values (?, ?, 'person', ?)", [key(m.left), key(m.right), m.weight]
        )


def prepare(engine: Engine, types: dict[str, Type]) -> None:
    """The rules and empty inputs."""
    con = engine.con
    con.execute("create table blocked_identifiers (identifier_type varchar, pattern varchar, reason varchar)")
    con.execute("create table identity_overrides (action varchar, left_type varchar, left_value varchar, right_type varchar,"
                " right_value varchar, reason varchar, author varchar, decided_on date)")  # fmt: skip
    con.execute("create table identifier_observation (provider varchar, source varchar, record_id varchar, record_key bigint, sequence bigint,"
                " observed_at timestamp, identifier_type varchar, identifier_value varchar, identifier_key bigint,"
                " tier smallint)")  # fmt: skip
    con.execute("create table identifier_types (name varchar, priority integer, tier smallint, max_per_person integer, max_period varchar,"
                " normaliser varchar, pattern varchar, level varchar, shared_above integer)")  # fmt: skip
    set_types(engine, types)


def set_types(engine: Engine, types: dict[str, Type]) -> None:
    """Replace the types."""
    engine.con.execute("delete from identifier_types")
    engine.con.executemany(
        "insert into identifier_types values (?, ?, ?, ?, ?, 'exact', '.*', 'person', ?)",
        [(n, t.priority, t.tier, t.most, t.period, t.shared_above) for n, t in types.items()],
    )


def set_overrides(engine: Engine, overrides: Iterable[Override]) -> None:
    """Replace the overrides."""
    engine.con.execute("delete from identity_overrides")
    rows = [(o.action, *o.left, *o.right, "a test", "tester", o.decided_on) for o in overrides]
    if rows:
        engine.con.executemany("insert into identity_overrides values (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def observe(engine: Engine, rows: Iterable[Seen], provider: str = "one") -> None:
    """Append observations."""
    listed = [
        (provider, r.record, int(r.record[1:]), r.sequence, r.seen_on, r.type, r.value, key(r.name), r.tier) for r in rows
    ]  # fmt: skip
    if listed:
        columns = list(zip(*listed, strict=True))
        engine.con.execute(
            "insert into identifier_observation select provider, 'test', record_id, record_key, sequence, seen_on::timestamp, identifier_type,"
            " identifier_value, identifier_key, tier from (select unnest(?::varchar[]) as provider, unnest(?::varchar[]) as record_id,"
            " unnest(?::bigint[]) as record_key, unnest(?::bigint[]) as sequence, unnest(?::date[]) as seen_on, unnest(?::varchar[]) as identifier_type,"
            " unnest(?::varchar[]) as identifier_value, unnest(?::bigint[]) as identifier_key,"
            " unnest(?::smallint[]) as tier)",
            [list(c) for c in columns],
        )


def retract(engine: Engine, rows: Iterable[Seen]) -> None:
    """Delete observations."""
    for row in rows:
        engine.con.execute(
            "delete from identifier_observation where record_id = ? and identifier_type = ? and identifier_value = ?",
            [row.record, row.type, row.value],
        )


def found(engine: Engine) -> Answer:
    """The engine's answer in the oracle's words."""
    query = lambda sql: engine.con.execute(sql).fetchall()  # noqa: E731
    return Answer(
        {(t, v): p for t, v, p in query("select identifier_type, identifier_value, person_id from person_identifier")},
        dict(query("select record_id, person_id from record_person")),
        {((a, b), (c, d)) for a, b, c, d in query("select left_type, left_value, right_type, right_value from identity_refusal")},
    )  # fmt: skip


def contents(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Every column of every table of the answer, and the partition into components (their names may differ)."""
    tables = {t: engine.con.execute(f"select * from {t} order by all").fetchall() for t in TABLES}
    tables["identity_component"] = engine.con.execute(
        "select list(identifier_key order by identifier_key) from identity_component group by component_key order by 1"
    ).fetchall()
    return tables
