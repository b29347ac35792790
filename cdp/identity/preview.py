"""`cdp identity preview`: what changed rules would do to the persons of the warehouse. Nothing of it is written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
from sqlglot import exp

from cdp.errors import DeclarationError
from cdp.identity.rules import load_rules
from cdp.identity.scratch import build, make_project
from cdp.settings import Settings
from cdp.warehouse import open_database

OBSERVATIONS = """-- The observations of the warehouse, as they are.
{{ config(materialized='view') }}
select * from {{ source('landed', 'row') }}
"""
MATCHES = """-- The pairs that matching models accepted, as they are.
{{ config(materialized='view') }}
select * from {{ source('landed', 'matched_pair') }}
"""


@dataclass(frozen=True)
class Change:
    """`merged`: persons that would become one; `split`: the persons that one would become. `largest` and `examples` name them."""

    persons_before: int
    persons_after: int
    merges: int
    persons_merged: int
    splits: int
    records_moved: int
    refusals_before: dict[str, int]
    refusals_after: dict[str, int]
    largest_merges: list[dict[str, Any]]
    largest_splits: list[dict[str, Any]]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def preview(
    settings: Settings, rules_dir: Path | None, patterns: Callable[[Path, Path], str], *, examples: int = 10
) -> Change:
    """Build identity with the rules of the working tree (or of a folder) on the warehouse's observations, and compare."""
    defaults = settings.dbt_dir / "seeds" / "identity"
    rules = load_rules(rules_dir or defaults, defaults)
    path = settings.published_path if settings.published_path.exists() else settings.warehouse_path
    open_database(path, read_only=True, settings=settings).close()  # says what is missing
    with tempfile.TemporaryDirectory(prefix="cdp-preview-") as name:
        folder = Path(name)
        scratch = folder / "warehouse.duckdb"
        con = open_database(scratch, read_only=False, settings=settings)
        try:
            _attach(con, path)
            con.execute("create schema landed")
            con.execute("create table landed.row as from now.conformed.identifier_observation")
            con.execute(
                "create table landed.matched_pair as select left_key, right_key, model, match_weight from now.identity.identity_match"
            )
            notes = _notes(con, [t.model_dump() for t in rules.types])
        finally:
            con.close()
        rules.write(folder / "rules")
        tests = settings.dbt_dir / "seeds" / "profiles" / "test_accounts.csv"
        text = patterns(folder / "rules" / "blocked_identifiers.csv", tests)
        models = {"conformed/identifier_observation": OBSERVATIONS, "conformed/identity_match": MATCHES}
        make_project(folder / "project", settings, rules, text, models)
        build(folder / "project", scratch, settings, {"as_of": settings.resolve_as_of()})
        con = open_database(scratch, read_only=False, settings=settings)
        try:
            _attach(con, path)
            return _compare(con, examples, notes)
        finally:
            con.close()


def _attach(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    con.execute(f"attach {exp.Literal.string(str(path)).sql(dialect='duckdb')} as now (read_only)")
    try:
        con.execute("select 1 from now.identity.identity_person limit 0")
    except duckdb.CatalogException:
        raise DeclarationError("identity was not built yet", where=str(path), fix="run `cdp run`") from None


def _notes(con: duckdb.DuckDBPyConnection, types: list[dict[str, Any]]) -> list[str]:
    """What a preview cannot show: how values are read is decided when they are loaded."""
    rows = con.execute("select name, normaliser, pattern from now.seeds.identifier_types order by name").fetchall()
    before = {name: (normaliser, pattern) for name, normaliser, pattern in rows}
    changed = sorted(t["name"] for t in types if before.get(t["name"], ()) != (t["normaliser"], t["pattern"]))
    if not changed:
        return []
    return [
        f"normaliser or pattern of {', '.join(changed)} differ: that takes effect when a run reads the values again"
    ]


def _compare(con: duckdb.DuckDBPyConnection, examples: int, notes: list[str]) -> Change:
    con.execute(
        """
        create temp table pair as
        select b.person_id as person_before, a.person_id as person_after, count(*) as identifiers
        from now.identity.identity_person as b inner join identity.identity_person as a using (identifier_key)
        group by all
        """
    )

    def groups(own: str, others: str) -> list[dict[str, Any]]:
        rows = con.execute(
            f"""
            select {own}, list({others} order by identifiers desc, {others}) as persons, sum(identifiers)::bigint as identifiers
            from pair group by {own} having count(*) > 1 order by sum(identifiers) desc, {own}
            """
        ).fetchall()
        return [{"person_id": p, "persons": others_, "identifiers": n} for p, others_, n in rows]

    def one(sql: str) -> int:
        return int(con.execute(sql).fetchall()[0][0])

    def refusals(schema: str) -> dict[str, int]:
        return dict(
            con.execute(f"select rule, count(*) from {schema}.identity_refusal group by 1 order by 1").fetchall()
        )

    merges, splits = groups("person_after", "person_before"), groups("person_before", "person_after")
    return Change(
        one("select count(distinct person_id) from now.identity.identity_person"),
        one("select count(distinct person_id) from identity.identity_person"),
        len(merges),
        sum(len(m["persons"]) for m in merges),
        len(splits),
        one(
            "select count(*) from now.identity.record_person as b full join identity.record_person as a using (record_key)"
            " where a.person_id is distinct from b.person_id"
        ),
        refusals("now.identity"),
        refusals("identity"),
        merges[:examples],
        splits[:examples],
        notes,
    )
