"""The ingestion sequence: every row that lands gets the next number, once, and keeps it.

Order of identity decisions, first-arrival deduplication and incremental models all hang on it, so it never goes back:
the next number is one above both the warehouse's highest and the last one ever handed out. The small file covers rows
that were numbered but whose load has not finished; losing it with the warehouse intact is harmless.
"""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from cdp.settings import Settings
from cdp.warehouse import open_database

SEQUENCE_COLUMN = "_cdp_sequence"


class Sequence:
    """Hands out numbers in blocks. One process at a time: use under `writer_lock`."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path("sequence")
        written = int(self._path.read_text(encoding="ascii") or 0) if self._path.exists() else 0
        self._next = max(written, _highest(settings)) + 1

    def take(self, count: int) -> int:
        """The first of `count` numbers; they are reserved on disk before this returns."""
        first = self._next
        self._next += count
        _write_whole(self._path, str(self._next - 1))
        return first


def _highest(settings: Settings) -> int:
    if not settings.warehouse_path.exists():
        return 0
    con = open_database(settings.warehouse_path, read_only=False, settings=settings)
    try:
        tables = con.execute(
            "select table_name from duckdb_columns() where schema_name = 'raw' and column_name = ? order by all",
            [SEQUENCE_COLUMN],
        ).fetchall()
        return max((_max_of(con, name) for (name,) in tables), default=0)
    finally:
        con.close()


def _max_of(con: duckdb.DuckDBPyConnection, table: str) -> int:
    quoted = table.replace('"', '""')
    (highest,) = con.execute(f'select max({SEQUENCE_COLUMN}) from raw."{quoted}"').fetchall()[0]  # noqa: S608 - quoted
    return int(highest or 0)


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
