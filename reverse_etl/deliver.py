"""Deliver: send a plan's rows batch by batch, the intent written before each, the outcome after."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from cdp.errors import CdpError
from reverse_etl import masking
from reverse_etl.destination import (
    UNREADABLE,
    Batch,
    BatchRejectedError,
    Client,
    Outcome,
    Result,
    Row,
    Status,
    UnavailableError,
)

if TYPE_CHECKING:
    from reverse_etl.ledger import Ledger
    from reverse_etl.plan import Plan

T = TypeVar("T")

# After so many batches in a row without a usable answer the rest is left to the next run.
_GIVE_UP_AFTER = 3


@dataclass
class Delivery:
    """Figures of one delivery: (operation, status) -> rows."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    not_attempted: int = 0
    message: str = ""
    error: CdpError | None = None


def deliver(plan: Plan, client: Client, ledger: Ledger, run_id: str, as_of: str) -> Delivery:
    """Send all operations of a plan. Never raises for what the destination answers: `error` carries what ended it."""
    delivery, without_answer = Delivery(), 0
    sync = plan.resolved.sync
    batches = batches_of(plan, as_of)
    for batch in batches:
        changing = [row for row in batch.rows if row.operation != "unchanged"]
        ledger.intend(sync.name, run_id, changing)
        try:
            outcomes, answered = _send(client, batch)
        except CdpError as error:
            # Refused credentials: nothing of the batch was applied, and no later batch can fare better.
            outcomes = {row.key: Outcome("failed", error.what) for row in changing}
            answered, delivery.error = True, error
        outcomes = {row.key: _complete(row, outcomes.get(row.key)) for row in changing}
        ledger.record(sync.name, run_id, changing, outcomes)
        delivery.outcomes.update((row.operation, outcomes[row.key].status) for row in changing)
        without_answer = 0 if answered else without_answer + 1
        if delivery.error or without_answer >= _GIVE_UP_AFTER:
            delivery.not_attempted = sum(row.operation != "unchanged" for later in batches for row in later.rows)
            delivery.message = (
                delivery.error.what
                if delivery.error
                else f"{plan.resolved.spec.name} gave no usable answer to {without_answer} batches in a row: "
                + next(o.reason for o in outcomes.values())
            )
            break
    return delivery


def batches_of(plan: Plan, as_of: str) -> Iterator[Batch]:
    """A plan's rows in batches: never more than the destination takes, groups never torn; kinds mix only there."""
    spec, sync = plan.resolved.object, plan.resolved.sync

    def batch(rows: Sequence[Row]) -> Batch:
        marks = hashlib.sha256("".join(f"{row.key}\0{row.payload_hash}\0" for row in rows).encode()).hexdigest()
        return Batch(sync.name, sync.object, sync.mode, rows, plan.resolved.options, as_of, marks)

    if spec.delivery == "snapshot":
        yield batch([row for row, _ in _rows(plan)])
    elif spec.batch.group_by:
        groups = ([row for row, _ in group] for _, group in itertools.groupby(_rows(plan), key=lambda pair: pair[1]))
        for several in _chunks(groups, spec.batch.rows):
            yield batch([row for group in several for row in group])
    else:
        for _, same_kind in itertools.groupby(_rows(plan), key=lambda pair: pair[0].operation == "delete"):
            for pairs in _chunks(same_kind, spec.batch.rows):
                yield batch([row for row, _ in pairs])


def _send(client: Client, batch: Batch) -> tuple[dict[str, Outcome], bool]:
    """Outcomes by key, and whether the destination answered. A refused batch is halved down to the bad rows."""
    changing = [row for row in batch.rows if row.operation != "unchanged"]
    is_delete = all(row.operation == "delete" for row in batch.rows)
    try:
        call: Callable[[Batch], Result] = client.delete if is_delete and hasattr(client, "delete") else client.write
        result = call(batch)
        return {row.key: result.outcome(row.key) for row in changing}, True
    except UnavailableError as error:
        status: Status = "in_doubt" if error.effect_unknown else "failed"
        return {row.key: Outcome(status, str(error), error.code) for row in changing}, False
    except UNREADABLE as error:
        reason = f"the answer cannot be read ({type(error).__name__})"
        return {row.key: Outcome("in_doubt", reason) for row in changing}, False
    except BatchRejectedError as error:
        if len(changing) <= 1 or len(changing) != len(batch.rows):
            return {row.key: Outcome("rejected", str(error), error.code) for row in changing}, True
    middle, answered = len(changing) // 2, True
    outcomes: dict[str, Outcome] = {}
    for half in (changing[:middle], changing[middle:]):
        found, heard = _send(client, replace(batch, rows=half))
        outcomes.update(found)
        answered = answered and heard
    return outcomes, answered


def _complete(row: Row, outcome: Outcome | None) -> Outcome:
    if outcome is None:
        return Outcome("in_doubt", "the destination did not say what became of the row")
    return replace(outcome, reason=masking.redact(outcome.reason, row.payload)) if outcome.reason else outcome


def _rows(plan: Plan) -> Iterator[tuple[Row, str]]:
    """Rows with the text by which they are grouped."""
    for chunk in plan.operations.to_batches(max_chunksize=10_000):
        for r in chunk.to_pylist():
            yield Row(r["key"], r["operation"], r["payload"], r["payload_hash"], r["in_doubt"]), r["group_key"]


def _chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk
