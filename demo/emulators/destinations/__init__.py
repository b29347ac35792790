"""Emulated vendors that receive what reverse ETL sends; each keeps its state in SQLite and its vendor's contract."""

from __future__ import annotations

from typing import Protocol

from demo.emulators.faults import Fault


class Fates(Protocol):
    """Decides which request fails; `demo.emulators.faults.Faults` does, and scripts of tests do."""

    def fate(self, emulator: str, request_number: int, path: str) -> Fault | None:
        """The fault of a request, or None."""
