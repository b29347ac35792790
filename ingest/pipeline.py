"""Runs one source through dlt into `raw`: rows, quarantine and schema changes in one load package.

Each source is its own dlt pipeline; its state (files read, cursors) travels in the same package as its rows, so both are
committed or neither. What a killed or failed run left behind is removed and read again: rows get their number when they
land for good, so that numbers follow the order of landing over all sources. The warehouse decides what was landed; dlt's
working folder is thrown away whenever it tells another story.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdp.errors import CdpError, ConfigurationError
from cdp.settings import Settings, required_connection
from cdp.sources import Source, raw_table
from cdp.warehouse import writing
from ingest.failures import explained
from ingest.landed import Landed, keep_newest_state, pipeline_name, read_landed, remove_unfinished
from ingest.landing import COMPLETED, Lander
from ingest.manifest import folder_of, has_new_files
from ingest.sequence import Sequence

if TYPE_CHECKING:
    import duckdb

# dlt reads these before its first import: no telemetry, no logs and no trace (both would hold rows and addresses), our
# own column names kept as they are, tables one after another, the warehouse written by one job at a time, and no job
# tried twice: one that failed may have committed.
_DLT_ENVIRONMENT = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
    "ENABLE_RUNTIME_TRACE": "false",
    "SCHEMA__NAMING": "direct",
    "NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID": "true",
    "LOAD__DELETE_COMPLETED_JOBS": "true",
    "LOAD__WORKERS": "1",
    "LOAD__RAISE_ON_MAX_RETRIES": "1",
    "DATA_WRITER__FILE_MAX_ITEMS": "5000000",
    "EXTRACT__NEXT_ITEM_MODE": "fifo",
}


FILE_KINDS = ("file_drop", "event_log")


@dataclass(frozen=True)
class Loaded:
    """What one run of a source landed: `rows` by table, rows set aside, columns that were new or of another type.

    `completed`: rows set aside earlier that the source has since delivered whole; `recovered`: remains of a killed run
    were removed first.
    """

    source: str
    rows: dict[str, int]
    quarantined: int = 0
    schema_changes: int = 0
    completed: int = 0
    recovered: bool = False
    load_ids: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Rows over all tables."""
        return sum(self.rows.values())


Resources = Callable[[Any, Lander], list[Any]]


def run_source(source: Source, settings: Settings, *, forget: dict[str, list[str]] | None = None) -> Loaded:
    """Land what is new of one source; hold `writer_lock`.

    `forget`: files by table that could not be read and are to be tried again. Raises ConfigurationError when a setting,
    a secret or the machine is in the way, RunError when the source cannot be read; nothing of the attempt is kept then.
    """
    if source.connection:
        required_connection(source.name, source.connection, settings)
    if source.kind in FILE_KINDS:
        folder_of(source, settings)
    return load(
        source,
        settings,
        lambda dlt, lander: resources(dlt, source, settings, lander, forget),
        only_if_new=not forget and (source.kind in FILE_KINDS or source.kind == "collector"),
    )


def load(source: Source, settings: Settings, make: Resources, *, only_if_new: bool = False) -> Loaded:
    """Land what the resources give, all or nothing; with `only_if_new` not even start dlt when no file is new."""
    failure: CdpError
    try:
        # open from here to the end: dlt and the steps around it connect a dozen times, and to open a file takes longer than most
        # of what they do in it
        with writing(settings) as con:
            recovered = _discard_remains(source, settings)
            landed = read_landed(source, settings)
            working = working_folder(source, settings)
            if local_state(working).get("_version_hash") != landed.state_hash:
                shutil.rmtree(working, ignore_errors=True)
            elif only_if_new and not has_new(source, settings):
                return Loaded(source.name, {}, recovered=recovered)
            return _run(source, settings, make, landed, recovered, con)
    except Exception as error:
        failure = explained(error, source, settings)
    # raised out here, so that the error that quotes data is not chained to it
    raise failure


def _run(
    source: Source,
    settings: Settings,
    make: Resources,
    landed: Landed,
    recovered: bool,
    con: duckdb.DuckDBPyConnection,
) -> Loaded:
    dlt = import_dlt()
    lander = Lander(source, settings, Sequence(settings, landed.highest), landed)
    destination = _remembering(dlt.destinations.duckdb(con))
    pipeline = dlt.pipeline(
        pipeline_name(source.name), destination=destination, dataset_name="raw", pipelines_dir=str(settings.path("dlt"))
    )

    def notes() -> Any:
        yield from lander.notes(dlt)
        lander.close()

    try:
        declared = [*make(dlt, lander), dlt.resource(notes, name=f"{source.name}__notes", write_disposition="append")]
        info = pipeline.run(dlt_source(dlt, source, declared), loader_file_format="parquet")
    except BaseException:
        lander.close()
        _discard_remains(source, settings)
        raise
    load_ids = list(getattr(info, "loads_ids", []))
    if load_ids:
        with writing(settings) as con:
            keep_newest_state(con, source.name)
        for kept in (working_folder(source, settings) / "load" / "loaded").glob("*"):
            shutil.rmtree(kept, ignore_errors=True)  # dlt keeps a folder for every load there ever was
    completed = sum(outcome == COMPLETED for outcome in lander.outcomes.values())
    rows = dict(lander.landed)
    return Loaded(source.name, rows, lander.quarantined, lander.changes, completed, recovered, load_ids)


def _remembering(destination: Any) -> Any:
    """The destination, which keeps what it can do. dlt asks it 40 times in a load and resolves its configuration for each answer:
    that took a quarter of the load of a small file."""
    ask = destination.capabilities
    known: dict[Any, Any] = {}

    def capabilities(config: Any = None, naming: Any = None) -> Any:
        if config is not None:
            return ask(config, naming)
        key = type(naming)
        if key not in known:
            known[key] = ask(None, naming)
        return known[key].copy()

    destination.capabilities = capabilities
    return destination


def dlt_source(dlt: Any, source: Source, declared: list[Any]) -> Any:
    """The dlt source of one run: the tables' resources, and the notes (schema changes, outcomes) after them."""
    return dlt.source(lambda: declared, name=source.name, section=source.name, max_table_nesting=0)()


def resources(
    dlt: Any, source: Source, settings: Settings, lander: Lander, forget: dict[str, list[str]] | None = None
) -> list[Any]:
    """dlt resources by the source's kind."""
    if source.kind == "collector":
        from ingest.kinds.collector import collector_resources

        return collector_resources(dlt, source, settings, lander)
    if source.kind in FILE_KINDS:
        from ingest.kinds.files import file_resources

        return file_resources(dlt, source, settings, lander, forget or {})
    if source.kind == "rest_api":
        from ingest.kinds.rest import rest_resources

        return rest_resources(dlt, source, settings, lander)
    if source.kind == "sql_database":
        from ingest.kinds.sql import sql_resources

        return sql_resources(dlt, source, settings, lander)
    from importlib import import_module

    try:
        module = import_module(f"ingest.sources.{source.name}")
    except ModuleNotFoundError as error:
        if error.name != f"ingest.sources.{source.name}":
            raise
        raise ConfigurationError(
            "there is no code for it", where=f"ingest/sources/{source.name}.py", expected="a function `resources`"
        ) from None
    return list(module.resources(dlt, source, settings, lander))


def import_dlt() -> Any:
    """dlt, imported late (2 s) and configured."""
    for name, value in _DLT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import dlt

    return dlt


def working_folder(source: Source, settings: Settings) -> Path:
    """dlt's folder for a source."""
    return settings.path("dlt", pipeline_name(source.name))


def local_state(working: Path) -> dict[str, Any]:
    """The state as dlt keeps it locally; empty when there is none."""
    try:
        state = json.loads((working / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def files_read(source: Source, state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the state knows of files, by table."""
    kept = state.get("sources", {}).get(source.name, {}).get("resources", {})
    return {name: kept.get(raw_table(source.name, name), {}).get("files", {}) for name in source.tables}


def remains(working: Path) -> bool:
    """Whether a run that was killed or failed left something behind."""
    normalize, load_ = working / "normalize", working / "load"
    # extraction works in a folder of its own beside `extracted`, and moves it there when it is whole
    unfinished = [p for p in normalize.glob("*/*") if p.parent.name != "extracted" or p.is_dir()]
    return bool(unfinished or list(load_.glob("new/*")) or list(load_.glob("normalized/*")))


def _discard_remains(source: Source, settings: Settings) -> bool:
    working = working_folder(source, settings)
    if working.exists() and not remains(working):
        return False
    had_remains = working.exists()
    remove_unfinished(source, settings)
    if had_remains:
        shutil.rmtree(working)
    return had_remains


def has_new(source: Source, settings: Settings) -> bool:
    """Whether files or closed segments are there that were not landed, told from names, sizes and times alone."""
    state = local_state(working_folder(source, settings))
    if source.kind == "collector":
        from ingest.kinds.collector import EVENTS, has_new_segments

        kept = state.get("sources", {}).get(source.name, {}).get("resources", {})
        return has_new_segments(settings, kept.get(raw_table(source.name, EVENTS), {}))
    return has_new_files(folder_of(source, settings), source.tables, files_read(source, state))
