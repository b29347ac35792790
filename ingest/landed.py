"""What the warehouse already holds of a source. It alone decides: the working folder of dlt is only a copy.

A load counts when its row in `raw._dlt_loads` is there; dlt writes that row last. Everything a run knows about earlier
runs is read from here, so that a lost, older or half-written working folder cannot lead to lost or doubled rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb

from cdp.settings import Settings
from cdp.sources import Source, Table, raw_table
from cdp.warehouse import writing
from ingest.typing import VARIANT, quoted
from ingest.values import DUCKDB_TYPES, value_sql

QUARANTINE = "raw_quarantine"
QUARANTINE_REPLAY = "raw_quarantine_replay"
SCHEMA_CHANGE = "raw_schema_change"
NOTES = {
    QUARANTINE: {
        "quarantine_key": "VARCHAR",
        "source": "VARCHAR",
        "table_name": "VARCHAR",
        "origin": "VARCHAR",
        "position": "BIGINT",
        "reason": "VARCHAR",
        "original": "VARCHAR",
        "header": "VARCHAR",
        "_cdp_sequence": "BIGINT",
        "_dlt_load_id": "VARCHAR",
    },
    SCHEMA_CHANGE: {
        "source": "VARCHAR",
        "table_name": "VARCHAR",
        "column_name": "VARCHAR",
        "change": "VARCHAR",
        "found_type": "VARCHAR",
        "known_type": "VARCHAR",
        "row_count": "BIGINT",
        "_cdp_sequence": "BIGINT",
        "_dlt_load_id": "VARCHAR",
    },
    QUARANTINE_REPLAY: {
        "quarantine_key": "VARCHAR",
        "outcome": "VARCHAR",
        "_cdp_sequence": "BIGINT",
        "_dlt_load_id": "VARCHAR",
    },
}
INTERNAL = {
    "_cdp_sequence": "BIGINT",
    "_cdp_origin": "VARCHAR",
    "_cdp_row": "BIGINT",
    "_dlt_load_id": "VARCHAR",
}
_COMMITTED = "select load_id from raw._dlt_loads where status = 0"


@dataclass(frozen=True)
class Landed:
    """`columns`: DuckDB types of the columns of each raw table (a load that never ended may have added some); `recorded`:
    (table, column) of what schema changes tell; `filled`: raw tables that have rows; `state_hash`: dlt's hash of the state
    that was committed last; `highest`: the highest ingestion number anywhere in raw."""

    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    recorded: frozenset[tuple[str, str]] = frozenset()
    filled: frozenset[str] = frozenset()
    state_hash: str | None = None
    highest: int = 0


def pipeline_name(source: str) -> str:
    """Name of a source's dlt pipeline."""
    return f"tributary_{source}"


def read_landed(source: Source, settings: Settings) -> Landed:
    """Make the source's raw tables as declared, and tell what is in them. Hold `writer_lock`.

    The tables are made before the first row comes, so that staging can be built, and that types do not depend on what
    came first.
    """
    with writing(settings) as con:
        columns = _ensure_tables(con, source)
        own = [raw_table(source.name, name) for name in source.tables]
        filled = frozenset(n for n in own if con.execute(f"select 1 from raw.{quoted(n)} limit 1").fetchall())
        numbered = [n for n, found in columns.items() if "_cdp_sequence" in found]
        maxima = " union all ".join(f"select max(_cdp_sequence) as n from raw.{quoted(n)}" for n in numbered)
        highest = con.execute(f"select max(n) from ({maxima})").fetchall()[0][0]
        recorded = con.execute(
            f"select table_name, column_name from raw.{SCHEMA_CHANGE} where source = ?", [source.name]
        ).fetchall()
        hash_ = _state_hash(con, source.name, columns)
        return Landed({n: columns[n] for n in own}, frozenset(recorded), filled, hash_, int(highest or 0))


def remove_unfinished(source: Source, settings: Settings) -> None:
    """Delete the rows of the source's loads that never ended, and states that were superseded. Hold `writer_lock`."""
    if not settings.warehouse_path.exists():
        return
    with writing(settings) as con:
        columns = _columns(con)
        committed = _COMMITTED if "_dlt_loads" in columns else "select null::varchar where false"
        for name in [*(raw_table(source.name, t) for t in source.tables), *NOTES]:
            if "_dlt_load_id" in columns.get(name, {}):
                con.execute(f"delete from raw.{quoted(name)} where _dlt_load_id not in ({committed})")
        if {"_dlt_pipeline_state", "_dlt_loads"} <= columns.keys():
            keep_newest_state(con, source.name)


def keep_newest_state(con: duckdb.DuckDBPyConnection, source: str) -> None:
    """Delete all states of a source but the newest one that was committed: dlt would keep one for every load. There are some."""
    con.execute(
        f"""
        delete from raw._dlt_pipeline_state where pipeline_name = $name and rowid not in (
            select arg_max(rowid, version) from raw._dlt_pipeline_state
            where pipeline_name = $name and _dlt_load_id in ({_COMMITTED})
        )
        """,
        {"name": pipeline_name(source)},
    )


def _ensure_tables(con: duckdb.DuckDBPyConnection, source: Source) -> dict[str, dict[str, str]]:
    """Columns of all raw tables, those of the source as declared."""
    con.execute("create schema if not exists raw")
    present = _columns(con)
    changed = False
    for name, table in source.tables.items():
        raw = raw_table(source.name, name)
        changed |= _ensure_table(
            con, raw, {n: DUCKDB_TYPES[c.type] for n, c in table.columns.items()} | INTERNAL, present.get(raw)
        )
        for column, spec in table.columns.items():
            found = present.get(raw, {}).get(column, DUCKDB_TYPES[spec.type])
            if found != DUCKDB_TYPES[spec.type]:
                _retype(con, raw, column, table, column + VARIANT in present[raw])
                changed = True
    for name, columns in NOTES.items():
        changed |= _ensure_table(con, name, columns, present.get(name))
    return _columns(con) if changed else present


def _ensure_table(
    con: duckdb.DuckDBPyConnection, name: str, wanted: dict[str, str], present: dict[str, str] | None
) -> bool:
    """Whether something had to be made."""
    if present is None:
        listed = ", ".join(f"{quoted(column)} {type_}" for column, type_ in wanted.items())
        con.execute(f"create table raw.{quoted(name)} ({listed})")
        return True
    missing = [(column, type_) for column, type_ in wanted.items() if column not in present]
    for column, type_ in missing:
        con.execute(f"alter table raw.{quoted(name)} add column {quoted(column)} {type_}")
    return bool(missing)


def _retype(con: duckdb.DuckDBPyConnection, name: str, column: str, table: Table, has_variant: bool) -> None:
    """Give a landed column the type that is declared now; what does not fit goes beside it, what fits now comes back."""
    spec = table.columns[column]
    type_ = DUCKDB_TYPES[spec.type]
    target, old, new, beside = f"raw.{quoted(name)}", quoted(column), quoted(column + "__new"), quoted(column + VARIANT)
    text = f"coalesce({beside}, {old}::varchar)" if has_variant else f"{old}::varchar"
    value = value_sql(text, "VARCHAR", type_, spec, decimal_comma=False)
    con.execute("begin")
    con.execute(f"alter table {target} add column {new} {type_}")
    con.execute(f"alter table {target} add column if not exists {beside} varchar")
    misfit = f"case when ({value}) is null then nullif({text}, '') end"
    con.execute(f"update {target} set {new} = {value}, {beside} = {misfit}")
    con.execute(f"alter table {target} drop column {old}")
    con.execute(f"alter table {target} rename column {new} to {old}")
    con.execute("commit")


def _columns(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for table, column, type_ in con.execute(
        "select table_name, column_name, data_type from duckdb_columns() "
        "where schema_name = 'raw' and database_name = current_database() order by table_name, column_index"
    ).fetchall():
        found.setdefault(table, {})[column] = type_
    return found


def _state_hash(con: duckdb.DuckDBPyConnection, source: str, columns: dict[str, dict[str, str]]) -> str | None:
    if "_dlt_pipeline_state" not in columns or "_dlt_loads" not in columns:
        return None
    found = con.execute(
        f"select version_hash from raw._dlt_pipeline_state where pipeline_name = ? and _dlt_load_id in ({_COMMITTED}) "
        "order by version desc limit 1",
        [pipeline_name(source)],
    ).fetchall()
    return found[0][0] if found else None
