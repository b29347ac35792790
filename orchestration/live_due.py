"""Which syncs a micro-batch runs: those that say `live: true`, and those whose schedule has come."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

from cdp.settings import Settings
from reverse_etl.catalog import ResolvedSync, resolve, sync_names
from reverse_etl.ledger import Ledger


class DueSyncs:
    """Reads declarations anew for each batch, so that an edit counts with the next one. A sync that never ran is due at the
    first moment of its schedule after this process began."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._begun = datetime.now(UTC)
        self._ran: dict[str, datetime] = {}

    def now(self) -> list[ResolvedSync]:
        """The syncs of a batch that begins now, by name."""
        scheduled = set(self.scheduled())
        found = (resolve(name, self._settings) for name in sync_names(self._settings))
        return [each for each in found if each.sync.live or each.sync.name in scheduled]

    def scheduled(self) -> list[str]:
        """Names of the syncs that are not live and whose next moment after their last run has passed."""
        if not self._ran:
            self._read_last_runs()
        return [name for name, next_ in self._next.items() if next_ <= datetime.now(UTC)]

    def ran(self, name: str) -> None:
        """A sync was tried just now, whatever came of it."""
        self._ran[name] = datetime.now(UTC)
        self._set_next(name)

    def _read_last_runs(self) -> None:
        self._next: dict[str, datetime] = {}
        with closing(Ledger(self._settings)) as ledger:
            for name in sync_names(self._settings):
                last = ledger.runs(name, 1)
                started = last[0].started_at if last else self._begun
                self._ran[name] = started if started.tzinfo else started.replace(tzinfo=UTC)
                self._set_next(name)

    def _set_next(self, name: str) -> None:
        from croniter import croniter  # type: ignore[import-untyped]

        sync = resolve(name, self._settings).sync
        if sync.live:
            self._next.pop(name, None)
        else:
            self._next[name] = croniter(sync.schedule, self._ran[name]).get_next(datetime)
