"""What goes into the ledger and what its readers get."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from reverse_etl.destination import Result

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Intended:
    """A batch that is about to be sent. `rows` has BATCH_COLUMNS at least; `operation`: the one of all, where that is known."""

    number: int
    rows: pa.Table
    idempotency_key: str
    operation: str = ""


@dataclass(frozen=True)
class Settled:
    """A batch and what became of it."""

    batch: Intended
    result: Result


@dataclass(frozen=True)
class Message:
    """A message that will reach a person, for frequency caps."""

    key: str
    person: str
    channel: str
    sent_at: datetime


@dataclass(frozen=True)
class RunRecord:
    """One run as `cdp sync status` shows it."""

    sync: str
    run_id: str
    as_of: str
    status: str
    message: str
    plan_id: str
    resync_reason: str
    counts: dict[str, Any]
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None


@dataclass(frozen=True)
class OpenRow:
    """A row that the destination does not hold as it should; the key is shown as a mark only."""

    key_mark: str
    operation: str
    status: str
    code: str
    reason: str
    attempts: int
    first_run_id: str
    last_run_id: str
