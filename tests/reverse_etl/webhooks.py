"""A sync to the emulated webhook endpoint, in any mode, whose source and rows a test sets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.emulators.destinations import webhook
from reverse_etl import engine
from reverse_etl.result import SyncResult
from tests.reverse_etl.conftest import Project, Script, Vendor, serving

FILE_SOURCE = (
    "{file: rows.parquet, columns: {id: text, value: integer, refuse: text, poison: boolean, person_id: text}}"
)
AS_OF = "2026-03-01T00:00:00"
MODEL = "snd_webhook__rows"
COLUMNS = {"id": "varchar", "value": "bigint", "refuse": "varchar", "poison": "boolean", "person_id": "varchar"}
SYNC = """
name: rows
description: Rows of the tests.
owner: tests@lumen.example
source: {source}
destination: webhook
object: {object}
key: id
person: person_id
mode: {mode}
fields:
  id: id
  value: value
  refuse: {{column: refuse, nulls: omit}}
  poison: {{column: poison, nulls: omit}}
consent_purpose: {purpose}
schedule: "15 * * * *"
limits: {{max_change_percent: 100, max_deletes: 10000, min_source_percent: 0, max_invalid_percent: 100}}
{more}
"""


class Endpoint(Vendor):
    """The emulated endpoint, with the project whose sync it receives."""

    project: Project
    # The source is a file instead of a table: cheaper to change, for tests with hundreds of runs.
    from_file = False

    def declare(self, mode: str = "upsert", *, purpose: str = "service", more: str = "") -> None:
        """Write the sync."""
        self.project.contract(MODEL, COLUMNS, purpose)
        kind = "events" if mode == "append" else "rows"
        source = FILE_SOURCE if self.from_file else MODEL
        text = SYNC.format(source=source, object=kind, mode=mode, purpose=purpose, more=more)
        self.project.sync("rows", text)

    def want(self, rows: Mapping[str, int | tuple[object, ...]]) -> None:
        """The source's rows: id -> value, or (value, refuse, poison, person_id)."""
        full = []
        for key, given in rows.items():
            values = given if isinstance(given, tuple) else (given,)
            value, refuse, poison, person = (*values, *(None,) * (4 - len(values)))
            full.append((key, value, refuse, poison, person or f"person {key}"))
        if not self.from_file:
            self.project.fill(MODEL, COLUMNS, full)
            return
        path = self.project.settings.landing_path / "rows.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        types = [pa.string(), pa.int64(), pa.string(), pa.bool_(), pa.string()]
        columns = list(zip(*full, strict=True)) or [()] * len(types)
        pq.write_table(pa.table([*map(pa.array, columns, types)], names=list(COLUMNS)), path)

    def run(self, **how: object) -> SyncResult:
        """One run of the sync."""
        return engine.run("rows", self.project.settings, AS_OF, **how)  # type: ignore[arg-type]

    def held(self) -> dict[str, int]:
        """What the endpoint holds: id -> value."""
        return self.values("held")

    def values(self, table: str) -> dict[str, int]:
        """key -> value of the rows or the events."""
        return {key: json.loads(fields)["value"] for key, fields in self.query(f"select key, fields from {table}")}

    def events(self) -> list[str]:
        """Keys of the events that were applied, as often as they were."""
        return [key for (key,) in self.query("select key from event order by key, no")]


@contextlib.contextmanager
def endpoint_for(project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """Serve an endpoint and set its address."""
    script, state = Script(), folder / "endpoint"
    with serving(webhook.create_app(folder, state, script)) as url:
        for name, value in webhook.environment(url).items():
            monkeypatch.setenv(name, value)
        served = Endpoint(url, state / "webhook.sqlite", script)
        served.project = project
        served.declare()
        yield served


@pytest.fixture
def endpoint(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with endpoint_for(project, tmp_path, monkeypatch) as served:
        yield served
