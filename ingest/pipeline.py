"""Runs one source through dlt into `raw`: rows, quarantine and schema changes in one load package.

Each source is its own dlt pipeline (its state travels with its data), all write to the schema `raw`. A package that a
killed run left behind is loaded first; the file states and cursors in it make sure that nothing is read twice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from cdp.errors import CdpError, RunError
from cdp.settings import Settings, required_connection
from cdp.sources import Source, Table, raw_table
from cdp.warehouse import writing
from ingest.landing import QUARANTINE, QUARANTINE_REPLAY, SCHEMA_CHANGE, Lander
from ingest.sequence import Sequence
from ingest.typing import quoted

# dlt reads these before its first import: no telemetry, quiet logs, our own column names kept as they are.
_DLT_ENVIRONMENT = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
    "SCHEMA__NAMING": "direct",
    "NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID": "true",
    "LOAD__DELETE_COMPLETED_JOBS": "true",
    "DATA_WRITER__FILE_MAX_ITEMS": "5000000",
}


@dataclass(frozen=True)
class Loaded:
    """What one run of a source landed."""

    source: str
    rows: dict[str, int]
    quarantined: int = 0
    schema_changes: int = 0
    recovered: bool = False
    load_ids: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Rows over all tables."""
        return sum(self.rows.values())


def run_source(source: Source, settings: Settings, *, sequence: Sequence | None = None) -> Loaded:
    """Land what is new of one source; hold `writer_lock`. Raises RunError when the source cannot be read."""
    dlt = import_dlt()
    if source.connection:
        required_connection(source.name, source.connection, settings)
    pipeline = dlt.pipeline(
        f"tributary_{source.name}",
        destination=dlt.destinations.duckdb(str(settings.warehouse_path)),
        dataset_name="raw",
        pipelines_dir=str(settings.path("dlt")),
    )
    recovered = recover(pipeline, source, settings)
    lander = Lander(source, sequence or Sequence(settings))
    try:
        declared = resources(dlt, source, settings, lander)
        info = pipeline.run(dlt_source(dlt, source, declared), loader_file_format="parquet")
    except CdpError:
        raise
    except Exception as error:
        pipeline.abort_packages()
        cause = _cause(error)
        if isinstance(cause, CdpError):
            raise cause from error
        raise RunError(
            f"the source could not be loaded: {type(cause).__name__}: {_first_line(cause)}",
            where=f"ingest/sources/{source.name}.yml",
            fix="nothing of this attempt was kept; mend the cause and run again, it goes on where it was",
        ) from error
    ensure_tables(source, settings)
    return Loaded(
        source.name,
        dict(lander.landed),
        lander.quarantined,
        lander.changes,
        recovered,
        list(getattr(info, "loads_ids", [])),
    )


def dlt_source(dlt: Any, source: Source, declared: list[Any]) -> Any:
    """The dlt source of one run: the tables' resources, and the notes (quarantine, schema changes) after them."""
    return dlt.source(lambda: declared, name=source.name, section=source.name, max_table_nesting=0)()


def resources(dlt: Any, source: Source, settings: Settings, lander: Lander) -> list[Any]:
    """dlt resources by the source's kind."""
    if source.kind in ("file_drop", "event_log"):
        from ingest.kinds.files import file_resources

        return file_resources(dlt, source, settings, lander)
    if source.kind == "rest_api":
        from ingest.kinds.rest import rest_resources

        return rest_resources(dlt, source, settings, lander)
    if source.kind == "sql_database":
        from ingest.kinds.sql import sql_resources

        return sql_resources(dlt, source, settings, lander)
    from importlib import import_module

    module = import_module(f"ingest.sources.{source.name}")
    return list(module.resources(dlt, source, settings, lander))


def import_dlt() -> Any:
    """dlt, imported late (2 s) and configured."""
    for name, value in _DLT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import dlt

    return dlt


def recover(pipeline: Any, source: Source, settings: Settings) -> bool:
    """Finish a package that a killed run left: load it, and take out rows its interrupted jobs had already written."""
    if not pipeline.has_pending_data:
        return False
    if not pipeline.list_normalized_load_packages() and not _extracted_whole(pipeline):
        pipeline.abort_packages()
        return True
    pipeline.run()
    with writing(settings) as con:
        for name in [*(raw_table(source.name, t) for t in source.tables), QUARANTINE, SCHEMA_CHANGE, QUARANTINE_REPLAY]:
            exists = con.execute(
                "select 1 from duckdb_tables() where schema_name = 'raw' and table_name = ?", [name]
            ).fetchall()
            if exists:
                con.execute(
                    f"delete from raw.{quoted(name)} where rowid not in "
                    f"(select min(rowid) from raw.{quoted(name)} group by _cdp_sequence)"
                )
    return True


def _extracted_whole(pipeline: Any) -> bool:
    return bool(pipeline.list_extracted_load_packages())


_TYPES = {
    "text": "VARCHAR",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    "json": "JSON",
}


def ensure_tables(source: Source, settings: Settings) -> None:
    """Every declared table and column exists, so that staging can be built before the first row of it came."""
    with writing(settings) as con:
        con.execute("create schema if not exists raw")
        for name, table in source.tables.items():
            columns = {n: _TYPES[c.type] for n, c in table.columns.items()} | {
                "_cdp_sequence": "BIGINT",
                "_cdp_origin": "VARCHAR",
                "_cdp_row": "BIGINT",
                "_dlt_load_id": "VARCHAR",
            }
            target = f"raw.{quoted(raw_table(source.name, name))}"
            con.execute(
                f"create table if not exists {target} ({', '.join(f'{quoted(n)} {t}' for n, t in columns.items())})"
            )
            for column, type_ in columns.items():
                con.execute(f"alter table {target} add column if not exists {quoted(column)} {type_}")
        for name, columns in _NOTES.items():
            con.execute(
                f"create table if not exists raw.{quoted(name)} ({', '.join(f'{quoted(n)} {t}' for n, t in columns.items())})"
            )


_NOTES = {
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


def _cause(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None and inner is not error:
        error = inner
    return error


def _first_line(error: BaseException) -> str:
    """What went wrong, without the data that DuckDB quotes after "Input:"."""
    return (str(error).splitlines() or [""])[0].split("Input:")[0][:300].strip()
