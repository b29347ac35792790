"""`cdp live`: what the collector has closed goes through load, the models in between, segments and due syncs, in micro-batches.

A micro-batch does what `cdp run` does for the same rows, less what can wait for the next run: other sources, models that no
due sync is made of, data tests, the delivery log. It keeps what must not wait: quarantine, the suites with blocking checks of
what was loaded and of what leaves, the consent gate, the syncs' limits and ledger, the writer lock.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from cdp.errors import CdpError, ConfigurationError
from cdp.settings import Settings
from cdp.sources import Source, active_sources, raw_table
from cdp.warehouse import publish, reading, writer_lock
from ingest.pipeline import import_dlt, run_source
from ingest.status import has_new_data
from orchestration.live_checks import Gate
from orchestration.live_dbt import WarmDbt
from orchestration.live_due import DueSyncs
from reverse_etl.catalog import ResolvedSync
from reverse_etl.engine import run as run_sync

POLL_SECONDS = 0.5
# after a batch that failed: pauses before it is tried again without new events
RETRY_SECONDS = (5, 10, 20, 40, 60)


@dataclass
class Batch:
    """What one micro-batch did. `seconds` by part; `oldest_seconds`: how long ago its first event was received, at its end."""

    as_of: str
    rows: int = 0
    models: int = 0
    sent: dict[str, int] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    oldest_seconds: float | None = None

    @property
    def ok(self) -> bool:
        """Nothing failed; what is held by a check or paused is told, and is no failure."""
        return not self.failed

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Count the time of a part, also when it fails."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] = round(self.seconds.get(part, 0.0) + time.monotonic() - begun, 2)


class Live:
    """The long-running process. Raises ConfigurationError when there is nothing to follow or nothing was built yet."""

    def __init__(self, settings: Settings, *, publish_seconds: float = 60.0) -> None:
        self._settings, self._publish_seconds = settings, publish_seconds
        self.sources = [d.value for d in active_sources(settings).values() if d.value.kind == "collector"]
        if not self.sources:
            raise ConfigurationError(
                "no source of kind collector is active", where="CDP_SOURCES", fix="add `collector` to CDP_SOURCES"
            )
        if not settings.warehouse_path.exists():
            raise ConfigurationError(
                "the warehouse does not exist yet", where=str(settings.warehouse_path), fix="run `cdp run` first"
            )
        os.environ.update(settings.dbt_environment())
        import_dlt()
        self._dbt, self._gate = WarmDbt(settings), Gate(settings)
        self._due = DueSyncs(settings)
        self._published = 0.0
        self._unfinished = True  # rows that were landed before this process, and perhaps not built

    def close(self) -> None:
        """End what it started."""
        self._dbt.close()

    def follow(self, stop: threading.Event, told: Callable[[Batch], None], *, once: bool = False) -> None:
        """Batch after batch, until `stop`, or with `once` until nothing is new."""
        failures = 0
        while not stop.is_set():
            waiting = any(has_new_data(source, self._settings) for source in self.sources)
            scheduled = self._due.scheduled()
            if waiting or scheduled or self._unfinished:
                batch = self.batch()
                told(batch)
                self._unfinished = not batch.ok
                failures = 0 if batch.ok else failures + 1
                if failures and not once:
                    stop.wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1])
            elif not once:
                stop.wait(POLL_SECONDS)
            if once and (failures or not self._is_behind()):
                return

    def _is_behind(self) -> bool:
        return any(has_new_data(source, self._settings) for source in self.sources)

    def batch(self) -> Batch:
        """One micro-batch, as the warehouse's only writer. What fails is in the batch; nothing of it is lost by that."""
        batch = Batch(self._settings.resolve_as_of())
        begun = time.monotonic()
        try:
            with contextlib.ExitStack() as held:
                with batch.timed("wait"):
                    held.enter_context(writer_lock(self._settings))
                self._work(batch)
        except CdpError as error:
            batch.failed.append(error.render())
        batch.seconds["all"] = round(time.monotonic() - begun, 2)
        return batch

    def _work(self, batch: Batch) -> None:
        with batch.timed("parse"):
            changed = self._dbt.refresh()
        received = self._load(batch)
        batch.as_of = self._settings.advance_as_of(received[1]) if received else self._settings.resolve_as_of()
        tables = [raw_table(s.name, t) for s in self.sources for t in s.tables]
        with batch.timed("check"):
            if batch.rows:
                self._gate.look("raw", tables, batch.as_of)
        syncs = self._due.now()
        with batch.timed("build"):
            # views hold no rows: they are made anew only when what they say may have changed
            wanted = self._dbt.between(tables, [m for s in syncs for m in _models(s)], views=changed)
            stopped = {m: why for a, why in self._gate.stopped().items() for m in self._dbt.behind(*a)}
            # the first batch, and one after a declaration has changed, looks at what all sources landed
            landed = [] if changed else [s.name for s in self.sources]
            built = self._dbt.build(wanted - stopped.keys(), batch.as_of, landed)
        batch.models = len(built.status)
        batch.failed += [f"{name}: {message}" for name, message in built.errors.items()]
        with batch.timed("check"):
            self._gate.look("activation", [m for m in built.status if m.startswith("snd_")], batch.as_of)
            stopped |= {m: why for a, why in self._gate.stopped().items() for m in self._dbt.behind(*a)}
        with batch.timed("deliver"):
            for sync in syncs:
                self._deliver(sync, stopped, built.status, batch)
        with batch.timed("publish"):
            if time.monotonic() - self._published >= self._publish_seconds:
                publish(self._settings)
                self._published = time.monotonic()
        if received:
            batch.oldest_seconds = round((datetime.now(UTC) - received[0]).total_seconds(), 1)

    def _load(self, batch: Batch) -> tuple[datetime, datetime] | None:
        """Land what is new; when the first and the last of it was received."""
        load_ids: list[str] = []
        with batch.timed("load"):
            for source in self.sources:
                loaded = run_source(source, self._settings)
                batch.rows += loaded.total
                load_ids += loaded.load_ids
                if loaded.total:
                    self._gate.landed(source, loaded)
            return _received(self.sources, load_ids, self._settings) if load_ids else None

    def _deliver(self, sync: ResolvedSync, stopped: dict[str, str], status: dict[str, str], batch: Batch) -> None:
        name, models = sync.sync.name, _models(sync)
        why = next((stopped[m] for m in models if m in stopped), "")
        why = why or next((f"{m} was not built" for m in models if status.get(m, "success") != "success"), "")
        if why:
            batch.held[name] = why
            return
        try:
            result = run_sync(name, self._settings, batch.as_of, resolved=sync)
        except CdpError as error:
            # paused, over its limits, not connected: others go on, and the next run tells again
            batch.held[name] = error.what
        else:
            batch.sent[name] = result.succeeded
            self._gate.delivered(name, result)
            if not result.ok:
                batch.failed.append(f"{name}: {result.message or 'rows were not accepted; see `cdp sync errors`'}")
        self._due.ran(name)


def _models(sync: ResolvedSync) -> list[str]:
    return [model.split(".", 1)[1] for model in sync.source.models]


def _received(sources: list[Source], load_ids: list[str], settings: Settings) -> tuple[datetime, datetime] | None:
    """When the first and the last event of these loads reached the collector, UTC."""
    tables = [raw_table(s.name, t) for s in sources for t, spec in s.tables.items() if "received_at" in spec.columns]
    marks = ", ".join("?" for _ in load_ids)
    union = " union all ".join(f"select received_at from raw.{t} where _dlt_load_id in ({marks})" for t in tables)
    with reading(settings, live=True) as con:
        known = {
            r[0] for r in con.execute("select table_name from duckdb_tables() where schema_name = 'raw'").fetchall()
        }
        if not known.issuperset(tables):
            return None
        found = con.execute(
            f"select min(received_at), max(received_at) from ({union})", load_ids * len(tables)
        ).fetchall()
    first, last = found[0]
    return (first.astimezone(UTC), last.astimezone(UTC)) if first else None
