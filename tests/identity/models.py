"""The identity models on a handful of observations: dbt's own SQL, rendered without dbt's seconds of start."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb

from cdp.duckdb_functions import register
from cdp.settings import PROJECT_ROOT, Settings
from dbt_declarations.compiler import compile_all
from tests.identity.components import run_in

DBT = PROJECT_ROOT / "dbt_project"
ORDER = ("identifier", "record_identifier", "identity_edge", "identity_component", "person_identifier", "record_person")
Records = dict[str, dict[str, str]]


def resolved(records: Records) -> duckdb.DuckDBPyConnection:
    """A database with the identity models of records that arrived in this order (record name -> type -> value as written)."""
    con = duckdb.connect(config={"threads": 2, "disabled_optimizers": "outer_join_simplification"})
    register(con)
    with (DBT / "seeds" / "identity" / "identifier_types.csv").open(encoding="utf-8", newline="") as file:
        types = {row["name"]: row for row in csv.DictReader(file)}
    con.execute(
        f"create table identifier_types as from read_csv('{DBT / 'seeds/identity/identifier_types.csv'}', header = true)"
    )
    macros = [
        (DBT / "macros" / name).read_text(encoding="utf-8") for name in ("engine/hash.sql", "engine/normalise.sql")
    ]
    macros.append((DBT / "macros" / "identity" / "connected_components.sql").read_text(encoding="utf-8"))
    macros.append(_patterns())
    _observe(con, records, types, macros)
    for name in ORDER:
        model = (DBT / "models" / "identity" / f"{name}.sql").read_text(encoding="utf-8")
        con.execute(f"create table {name} as {run_in(con, [*macros, model], ref=str)}")
    return con


@lru_cache(maxsize=1)
def _patterns() -> str:
    """The macros that are made from the seeds of patterns."""
    return compile_all(Settings(_env_file=None))[Path("macros/generated/patterns.sql")]


def _observe(con: duckdb.DuckDBPyConnection, records: Records, types: dict[str, Any], macros: list[str]) -> None:
    """The table identifier_observation, normalised by the macros that the seed names."""
    con.execute("create table found (record_id varchar, sequence bigint, identifier_type varchar, found_value varchar)")
    rows = [(r, n, t, v) for n, (r, found) in enumerate(records.items(), 1) for t, v in found.items()]
    con.executemany("insert into found values (?, ?, ?, ?)", rows)
    cases = " ".join(
        f"when '{t}' then {run_in(con, [*macros, '{{ normalise_' + types[t]['normaliser'] + '(' + chr(34) + 'found_value' + chr(34) + ') }}'])}"
        for t in sorted({row[2] for row in rows})
    )
    key = run_in(con, [*macros, "{{ hash_key(\"identifier_type || ':' || value\") }}"])
    con.execute(
        f"""
        create table identifier_observation as
        with normalised as (
            select found.*, types.pattern, case identifier_type {cases} end as value
            from found inner join identifier_types as types on found.identifier_type = types.name
        ),
        usable as (
            select *, coalesce(regexp_full_match(value, pattern), false) as is_usable from normalised
        )
        select
            'test' as source, record_id, sequence, timestamp '2026-01-01' + to_hours(sequence::int) as observed_at, identifier_type,
            case when is_usable then value end as identifier_value,
            case when is_usable then {key} end as identifier_key
        from usable
        """
    )
