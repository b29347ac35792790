"""The identity models on a handful of records with values as people write them."""

from __future__ import annotations

from typing import Any

import duckdb

from tests.identity.engine import DBT, Engine

SEEDS = {
    "identifier_types": "max_per_person: integer, max_period: varchar, shared_above: integer, priority: integer, tier: smallint",
    "blocked_identifiers": "",
}
Records = dict[str, dict[str, str]]


def resolved(records: Records, overrides: list[dict[str, Any]] | None = None) -> duckdb.DuckDBPyConnection:
    """A database with the identity models of records that arrived in this order (record name -> type -> value as written),
    built with the project's own rules."""
    engine = prepared(records, overrides)
    engine.run()
    return engine.con


def prepared(records: Records, overrides: list[dict[str, Any]] | None = None) -> Engine:
    """The same before the first run."""
    engine = Engine()
    con = engine.con
    for seed, types in SEEDS.items():
        given = ", ".join(f"'{c.split(':')[0].strip()}': '{c.split(':')[1].strip()}'" for c in types.split(",") if c)
        path = DBT / "seeds" / "identity" / f"{seed}.csv"
        con.execute(
            f"create table {seed} as from read_csv('{path}', header = true{f', types = {{{given}}}' if given else ''})"
        )
    con.execute(
        "create table identity_overrides (action varchar, left_type varchar, left_value varchar, right_type varchar,"
        " right_value varchar, reason varchar, author varchar, decided_on date)"
    )
    for override in overrides or []:
        con.execute(
            "insert into identity_overrides values ($action, $left_type, $left_value, $right_type, $right_value, 'why', 'me', $decided_on)",
            {"decided_on": "2026-01-01", **override},
        )
    con.execute("create table found (record_id varchar, sequence bigint, identifier_type varchar, found_value varchar)")
    rows = [(r, n, t, v) for n, (r, found) in enumerate(records.items(), 1) for t, v in found.items()]
    con.executemany("insert into found values (?, ?, ?, ?)", rows)
    normalised = engine.render("{{ normalise_as('found.identifier_type', 'found_value') }}")
    key = engine.render("{{ hash_key(\"identifier_type || ':' || value\") }}")
    con.execute(
        f"""
        create table identifier_observation as
        with normalised as (
            select found.*, types.pattern, {normalised} as value
            from found inner join identifier_types as types on found.identifier_type = types.name
        ),
        usable as (
            select *, coalesce(regexp_full_match(value, pattern), false) as is_usable from normalised
        )
        select
            'one' as provider, 'test' as source, record_id, sequence as record_key, sequence,
            timestamp '2026-01-01' + to_hours(sequence::int) as observed_at, identifier_type, null::smallint as tier,
            case when is_usable then value end as identifier_value,
            case when is_usable then {key} end as identifier_key
        from usable
        """
    )
    return engine
