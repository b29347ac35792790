"""File drops and event logs: CSV, JSON lines and Parquet below a folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cdp.errors import ConfigurationError
from cdp.settings import Settings
from cdp.sources import Source, raw_table
from ingest.files import Manifest, batches, folder_of
from ingest.landing import Lander


def file_resources(dlt: Any, source: Source, settings: Settings, lander: Lander) -> list[Any]:
    """One resource a table. Which files were read is kept in the pipeline's state, committed with their rows."""
    folder = folder_of(source, settings)
    if not folder.is_dir():
        raise ConfigurationError(
            "the folder of the files does not exist",
            where=str(folder),
            expected=f"files of source {source.name}",
            fix="set CDP_LANDING_DIR (or the source's root), or generate the demo world with `cdp world generate`",
        )

    def rows(table_name: str) -> Iterator[Any]:
        table = source.tables[table_name]
        state = dlt.current.resource_state()
        manifest = Manifest(state.setdefault("files", {}), state.setdefault("digests", {}))
        pending = manifest.pending(folder, table.files or "")
        for batch in batches(lander.con, pending, table, manifest):
            yield from lander.land(dlt, table_name, batch.relation, batch.fields, batch.rejected)
        yield from lander.replay_outcomes(dlt, lander.completed(table_name, manifest.superseded, settings))

    return [
        dlt.resource(rows, name=raw_table(source.name, name), write_disposition="append")(name)
        for name in source.tables
    ]


def has_new_files(source: Source, settings: Settings, state: dict[str, Any]) -> bool:
    """Whether a run would read anything, without reading file contents (for the sensor). `state`: the pipeline's."""
    folder = folder_of(source, settings)
    for name, table in source.tables.items():
        known = state.get(raw_table(source.name, name), {}).get("files", {})
        for path in folder.glob(table.files or ""):
            before, stat = known.get(str(path.relative_to(folder))), path.stat()
            if not before or before["size"] != stat.st_size or before["mtime"] != stat.st_mtime_ns:
                return True
    return False
