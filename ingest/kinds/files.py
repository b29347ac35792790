"""File drops and event logs: CSV, JSON lines and Parquet below a folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cdp.settings import Settings
from cdp.sources import Source, raw_table
from ingest.files import batches
from ingest.landing import Lander
from ingest.manifest import Manifest, folder_of


def file_resources(
    dlt: Any, source: Source, settings: Settings, lander: Lander, forget: dict[str, list[str]]
) -> list[Any]:
    """One resource a table. Which files were read is kept in the pipeline's state, committed with their rows.

    `forget`: files by table that could not be read and are to be tried again.
    """
    folder = folder_of(source, settings)

    def rows(table_name: str) -> Iterator[Any]:
        table = source.tables[table_name]
        state = dlt.current.resource_state()
        manifest = Manifest(state.setdefault("files", {}), state.setdefault("digests", {}))
        manifest.forget(forget.get(table_name, []))
        pending = manifest.pending(folder, table.files or "")
        for batch in batches(lander.con, pending, table, manifest, lander.known(table_name)):
            yield from lander.land(dlt, table_name, batch.relation, batch.rejected)
        lander.supersede(table_name, manifest.superseded)

    return [
        dlt.resource(rows, name=raw_table(source.name, name), write_disposition="append")(name)
        for name in source.tables
    ]
