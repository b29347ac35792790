"""Settles what earlier runs left in doubt, before a plan is made: by the same key, or by reading back.

`resend` needs nothing here: the plan itself sends such rows again, with their newest values. `hold` waits for a person
(`cdp sync retry NAME --held sent|not-sent`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

from reverse_etl.catalog import ResolvedSync
from reverse_etl.deliver import Delivering
from reverse_etl.destination import (
    UNREADABLE,
    BatchRejectedError,
    Client,
    Outcome,
    ReadsBack,
    Result,
    TableRows,
    UnavailableError,
)
from reverse_etl.ledger import Ledger
from reverse_etl.ledger_codec import BATCH_COLUMNS
from reverse_etl.ledger_rows import Intended, Settled
from reverse_etl.ledger_state import Doubt
from reverse_etl.send import found_there

if TYPE_CHECKING:
    import pyarrow as pa


def recover(work: Delivering, client: Client) -> int:
    """Settle what can be settled; the number of rows that are no longer in doubt."""
    decided = 0
    for doubt in work.ledger.doubtful_batches(work.name):
        if work.pace.stopped:
            break
        if work.resolved.in_doubt == "same_key":
            decided += _by_key(work, doubt)
        elif work.resolved.in_doubt == "read_back":
            decided += _by_reading(work, client, doubt)
    return decided


def needs_recovery(resolved: ResolvedSync, ledger: Ledger) -> bool:
    """Is there anything to settle?"""
    return resolved.in_doubt in ("same_key", "read_back") and bool(ledger.doubtful_batches(resolved.ledger_name))


def decide_held(ledger: Ledger, name: str, run_id: str, *, arrived: bool) -> int:
    """A person says what became of all rows in doubt; the number of rows."""
    decided, number = 0, ledger.next_number(name)
    for doubt in ledger.doubtful_batches(name):
        outcome = (
            Outcome("succeeded") if arrived else Outcome("failed", "a person said that it did not arrive", "decided")
        )
        _decide(ledger, name, run_id, number, doubt.number, doubt.rows, dict.fromkeys(_keys(doubt.rows), outcome))
        decided, number = decided + doubt.rows.num_rows, number + 1
    return decided


def _by_key(work: Delivering, doubt: Doubt) -> int:
    """Send the very batch again: the destination recognises its key and applies nothing twice."""
    hours, rows = work.resolved.object.idempotency_hours, doubt.all_rows
    now = work.clock().replace(tzinfo=None)
    # A clock that was set back makes the batch look younger than it is at most; one set ahead makes it held, which is safe.
    if hours is not None and not timedelta(0) <= now - doubt.intended_at < timedelta(hours=hours):
        return 0
    if work.resolved.object.message and work.rules.quiet(str(work.resolved.object.message), work.clock()):
        return 0
    if work.gate.check(rows)[1]:
        # Somebody of the batch has withdrawn consent, and another batch would have another key.
        return 0
    again = Intended(work.ledger.next_number(work.name), rows.select(BATCH_COLUMNS), doubt.idempotency_key)
    answer = work.resend(again)
    # From here on the new batch holds whatever is still in doubt.
    work.ledger.decide(work.name, doubt.number, dict.fromkeys(_keys(rows), f"sent again as batch {again.number}"))
    return sum(answer.result.outcome(k).status != "in_doubt" for k in _keys(rows))


def _by_reading(work: Delivering, client: Client, doubt: Doubt) -> int:
    """Ask the destination what stands there."""
    rows = doubt.rows
    outcomes: dict[str, Outcome] = {}
    limit = work.resolved.object.batch.rows
    for start in range(0, rows.num_rows, limit):
        asked = TableRows(rows.slice(start, limit))
        try:
            held = cast(ReadsBack, client).read_back(work.sender.batch(asked, ""))
        except (UnavailableError, BatchRejectedError, *UNREADABLE):
            continue
        for row in asked:
            if row.key not in held:
                continue
            there = held[row.key]
            applied = found_there(row, None if there is None else dict(there))
            outcomes[row.key] = (
                Outcome("succeeded", code="read_back")
                if applied
                else Outcome("failed", "read back: it did not arrive", "read_back")
            )
    if outcomes:
        new = work.ledger.next_number(work.name)
        _decide(work.ledger, work.name, work.run_id, new, doubt.number, rows, outcomes)
    return len(outcomes)


def _decide(
    ledger: Ledger, name: str, run_id: str, new: int, old: int, rows: pa.Table, outcomes: dict[str, Outcome]
) -> None:
    """Write down what is known now as a batch of this run, and close the doubt of the old one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = rows.filter(pc.is_in(rows["key"], pa.array(list(outcomes), pa.string()))).select(BATCH_COLUMNS)
    ledger.advance(name, run_id, kept_back=[Settled(Intended(new, known, ""), Result(outcomes))])
    ledger.decide(name, old, {key: outcome.reason or "decided" for key, outcome in outcomes.items()})


def _keys(rows: pa.Table) -> list[str]:
    return [str(key) for key in rows["key"].to_pylist()]
