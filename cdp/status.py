"""What the warehouse holds and how old it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from cdp.settings import Settings
from cdp.warehouse import open_database

SCHEMAS = [
    "raw",
    "seeds",
    "staging",
    "conformed",
    "identity",
    "profiles",
    "tags",
    "scores",
    "segments",
    "activation",
    "delivery",
]


def row_counts(settings: Settings) -> dict[str, int]:
    """Rows of every table of the warehouse by its name (views are left out: counting them would compute them)."""
    if not settings.warehouse_path.exists():
        return {}
    con = open_database(settings.warehouse_path, read_only=False, settings=settings)
    try:
        return {name: count for _, name, count in _counts(con)}
    finally:
        con.close()


@dataclass(frozen=True)
class TableStatus:
    """Rows of one table."""

    schema: str
    table: str
    rows: int


@dataclass(frozen=True)
class SourceStatus:
    """What a source has landed. `age_hours`: since its last load that brought rows."""

    source: str
    rows: int
    last_loaded_at: str | None
    age_hours: float | None
    quarantined: int

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def tables(con: duckdb.DuckDBPyConnection) -> list[TableStatus]:
    """All tables in the order of the flow."""
    found = [TableStatus(*row) for row in _counts(con)]
    return sorted(found, key=lambda t: (SCHEMAS.index(t.schema), t.table))


def sources(con: duckdb.DuckDBPyConnection, names: list[str]) -> list[SourceStatus]:
    """Freshness by source, from dlt's load log."""
    present = {t.table: t.rows for t in tables(con) if t.schema == "raw"}
    loads: dict[str, tuple[str, float]] = {}
    if con.execute("select 1 from duckdb_tables() where schema_name = 'raw' and table_name = '_dlt_loads'").fetchall():
        loads = {
            name: (at, age)
            for name, at, age in con.execute(
                "select schema_name, strftime(max(inserted_at) at time zone 'UTC', '%Y-%m-%dT%H:%M:%SZ'), "
                "round(epoch(now() - max(inserted_at)) / 3600, 2) from raw._dlt_loads where status = 0 group by schema_name"
            ).fetchall()
        }
    quarantined: dict[str, int] = {}
    if "raw_quarantine" in present:
        quarantined = dict(
            con.execute(
                "select source, count(*) from raw.raw_quarantine where quarantine_key not in "
                "(select quarantine_key from raw.raw_quarantine_replay) group by source"
            ).fetchall()
        )
    return [
        SourceStatus(
            name,
            sum(rows for table, rows in present.items() if table.startswith(f"{name}__")),
            loads[name][0] if name in loads else None,
            loads[name][1] if name in loads else None,
            quarantined.get(name, 0),
        )
        for name in names
    ]


def _counts(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, int]]:
    names = con.execute(
        "select schema_name, table_name from duckdb_tables() where list_contains(?, schema_name) "
        "and not starts_with(table_name, '_dlt') order by all",
        [SCHEMAS],
    ).fetchall()
    if not names:
        return []
    counted = " union all ".join(
        "select '{}', '{}', count(*) from \"{}\".\"{}\"".format(
            *(n.replace("'", "''") for n in (s, t)), *(n.replace('"', '""') for n in (s, t))
        )
        for s, t in names
    )
    return con.execute(f"select * from ({counted}) order by all").fetchall()
