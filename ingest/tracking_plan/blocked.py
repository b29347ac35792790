"""Events that the plan blocks, as open rows of the quarantine: seen, corrected and replayed like rows that could not be read.

The event itself stands in raw, whole; staging leaves it out. Its open row is not stored: it is made from raw and the
violations of the last build, under the key `plan:<ingestion sequence>`. That it is done with is a row of
`raw.raw_quarantine_replay`, like that of any other row.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import duckdb

from cdp.settings import Settings
from cdp.sources import Source, all_sources, raw_table
from cdp.tracking_plan import event_sources, has_plan, load_plan
from ingest.landed import QUARANTINE_REPLAY
from ingest.tracking_plan.validator import validator_for
from ingest.typing import literal, quoted

KEY = "plan:"
_INTERNAL = ("_cdp_", "_dlt_")


def is_blocked_key(key: str) -> bool:
    """Whether an open row is an event that the plan blocks."""
    return key.startswith(KEY)


def blocked_rows(con: duckdb.DuckDBPyConnection, settings: Settings, source: str | None) -> list[tuple[object, ...]]:
    """Open blocked events as (quarantine_key, source, table, origin, position, reason, original, header), oldest first."""
    if not has_plan(settings) or not _exists(con, "tracking", "tracking_violation"):
        return []
    found: list[tuple[object, ...]] = []
    declared = all_sources(settings)
    for name, tables in event_sources(declared).items():
        if source not in (None, name):
            continue
        for table in tables:
            if _exists(con, "raw", raw_table(name, table)):
                found += _of_table(con, declared[name].value, table)
    return sorted(found, key=lambda row: int(str(row[0]).removeprefix(KEY)))


def still_blocked(settings: Settings) -> Callable[[str, str, str], str | None]:
    """A function (source, table, text of an event) -> why the plan as it stands now blocks it, or None when it does not."""
    if not has_plan(settings):
        return lambda source, table, text: None
    judge = validator_for(load_plan(settings))
    tables = event_sources(all_sources(settings))

    def why(source: str, table: str, text: str) -> str | None:
        try:
            event = json.loads(text) if table in tables.get(source, []) else None
        except ValueError:
            return None  # landing itself says what is wrong with it
        if not isinstance(event, dict):
            return None
        sent_by = event.get("source")
        verdict = judge(event, sent_by if isinstance(sent_by, str) else source)
        rules = ", ".join(f"{v.rule} {v.path}".strip() for v in verdict.violations if v.action == "block")
        return f"tracking plan: {rules}" if rules else None

    return why


def _of_table(con: duckdb.DuckDBPyConnection, source: Source, table: str) -> list[tuple[object, ...]]:
    """The event is written anew from its columns, under the names that producers use, without what is null."""
    name = raw_table(source.name, table)
    fields = {n: c.from_field or n for n, c in source.tables[table].columns.items()}
    columns = [
        c
        for (c,) in con.execute(
            "select column_name from duckdb_columns() where schema_name = 'raw' and table_name = ? order by column_index",
            [name],
        ).fetchall()
        if not c.startswith(_INTERNAL) and not c.endswith("__v_text")
    ]
    nested = {n for n, c in source.tables[table].columns.items() if c.type == "json"}  # in raw it is text
    pairs = ", ".join(
        f"case when landed.{quoted(c)} is not null then {literal(json.dumps(fields.get(c, c)) + ':')} || "
        + (f"landed.{quoted(c)}" if c in nested else f"to_json(landed.{quoted(c)})")
        + " end"
        for c in columns
    )
    return con.execute(
        f"""
        with blocked as (
            select sequence, string_agg(distinct trim(rule || ' ' || path), ', ' order by trim(rule || ' ' || path)) as why
            from tracking.tracking_violation where action = 'block' and table_name = $table group by sequence
        )
        select '{KEY}' || blocked.sequence, $source, $name, landed._cdp_origin, landed._cdp_row,
            'tracking plan: ' || blocked.why, '{{' || concat_ws(',', {pairs}) || '}}', null
        from blocked join raw.{quoted(name)} as landed on landed._cdp_sequence = blocked.sequence
        where '{KEY}' || blocked.sequence not in (select quarantine_key from raw.{QUARANTINE_REPLAY})
        """,
        {"table": name, "source": source.name, "name": table},
    ).fetchall()


def _exists(con: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    return bool(
        con.execute(
            "select 1 from information_schema.tables where table_schema = ? and table_name = ?", [schema, table]
        ).fetchall()
    )
