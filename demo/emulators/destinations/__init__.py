"""Emulated vendors that receive what reverse ETL sends; each keeps state in SQLite and follows its vendor's contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    `after_effect`: the request is carried out first and only its answer is lost, which is the case that tells a sync
    engine that counts from one that hopes.
    """

    status: int
    retry_after: int | None = None
    after_effect: bool = False


class Faults(Protocol):
    """Decides which request fails. Deterministic: the nth request of an emulator always has the same fate."""

    def fate(self, emulator: str, request_number: int, path: str) -> Fault | None:
        """The fault of a request, or None."""


class NoFaults:
    """All goes well."""

    def fate(self, emulator: str, request_number: int, path: str) -> Fault | None:
        """Never a fault."""
        return None
