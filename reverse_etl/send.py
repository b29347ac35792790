"""Sends one batch and says what became of each of its rows. Runs in threads; touches no ledger."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from cdp.errors import CdpError
from reverse_etl import masking
from reverse_etl.catalog import ResolvedSync
from reverse_etl.destination import (
    UNREADABLE,
    Batch,
    BatchRejectedError,
    Client,
    Deletes,
    Merges,
    Outcome,
    ReadsBack,
    Result,
    Row,
    Status,
    UnavailableError,
)

# Code of rows that were meant and not sent: the run ended before their turn.
NOT_SENT = "not_sent"
# Refusals that concern the account and not the rows: halving a batch would only ask the same question again.
_NOT_THE_ROWS = ("schema", "permission")


# After so many batches in a row without a usable answer the rest is left to the next run.
_GIVE_UP_AFTER = 3


class Breaker:
    """Opens when the destination has stopped to answer: what is waiting then is not sent, and nothing piles up.

    Shared by the threads of a run. It does not close again: the next run begins with a closed one.
    """

    def __init__(self, destination: str) -> None:
        self._destination, self._silent, self._lock = destination, 0, threading.Lock()
        self.reason = ""

    def note(self, answered: bool, reason: str) -> None:
        """The outcome of one batch."""
        with self._lock:
            self._silent = 0 if answered else self._silent + 1
            if self._silent >= _GIVE_UP_AFTER and not self.reason:
                self.reason = f"{self._destination} gave no usable answer to {self._silent} batches in a row: {reason}"

    def open(self, reason: str) -> None:
        """Open at once: credentials are refused."""
        with self._lock:
            self.reason = self.reason or reason


@dataclass(frozen=True)
class Answer:
    """Outcomes of a batch, whether the destination answered at all, and an error that ends the run."""

    result: Result
    answered: bool = True
    error: CdpError | None = None


class DestinationError(CdpError):
    """The destination's account or schema does not fit the sync; every further batch would be refused, too."""

    exit_code = 3


class Sender:
    """Sends batches of one sync through its client."""

    def __init__(self, resolved: ResolvedSync, client: Client, as_of: str) -> None:
        self._resolved, self._client, self._as_of = resolved, client, as_of
        self.breaker = Breaker(resolved.spec.name)
        self._if_empty = [field.name for field in resolved.fields if field.map.write == "if_empty"]

    def send(self, rows: Sequence[Row], idempotency_key: str) -> Answer:
        """Send a batch, unless the breaker is open. Never raises for what the destination answers."""
        if self.breaker.reason:
            return Answer(Result(others=Outcome("failed", "not sent: the run had to end before", NOT_SENT)))
        try:
            answer = self._send(self.batch(rows, idempotency_key))
        except CdpError as error:
            # Refused credentials: nothing of the batch was applied, and no later batch can fare better.
            self.breaker.open(error.what)
            return Answer(Result(others=Outcome("failed", error.what, "permission")), error=error)
        told = "" if answer.answered else answer.result.outcome(rows[0].key).reason
        self.breaker.note(answer.answered, masking.redact_rows(told, rows))
        if _is_silent(answer.result):
            return answer
        return replace(answer, result=_without_values(answer.result, rows))

    def batch(self, rows: Sequence[Row], idempotency_key: str) -> Batch:
        """Rows as one call takes them."""
        sync = self._resolved.sync
        options = self._resolved.options
        return Batch(sync.name, sync.object, sync.mode, rows, options, self._as_of, idempotency_key)

    def _send(self, batch: Batch) -> Answer:
        """A refused batch is halved down to the bad rows."""
        try:
            return Answer(self._call(batch))
        except UnavailableError as error:
            status: Status = "in_doubt" if error.effect_unknown else "failed"
            stopped = error.code == "stopped"
            code = NOT_SENT if stopped and status == "failed" else error.code
            return Answer(Result(others=Outcome(status, str(error), code)), answered=stopped)
        except UNREADABLE as error:
            # An unreadable answer's own text may quote it, so only its kind is told.
            reason = f"the answer cannot be read ({type(error).__name__})"
            return Answer(Result(others=Outcome("in_doubt", reason, "no_answer")), answered=False)
        except BatchRejectedError as error:
            refused = error
        rule = self._resolved.spec.errors.get(refused.code)
        if rule is not None and rule.meaning in _NOT_THE_ROWS:
            raise DestinationError(
                f"{self._resolved.spec.name} refuses the call: {masking.redact_rows(str(refused), batch.rows)}",
                where=batch.sync,
                fix=rule.help,
            )
        changing = [row for row in batch.rows if row.operation != "unchanged"]
        if len(changing) <= 1 or len(changing) != len(batch.rows):
            return Answer(Result(others=Outcome("rejected", str(refused), refused.code)))
        middle = len(changing) // 2
        outcomes: dict[str, Outcome] = {}
        answered = True
        for name, half in (("a", changing[:middle]), ("b", changing[middle:])):
            if not answered:
                outcomes |= {row.key: Outcome("failed", "the batch before had no answer", NOT_SENT) for row in half}
                continue
            found = self._send(replace(batch, rows=half, idempotency_key=f"{batch.idempotency_key}-{name}"))
            outcomes |= {row.key: found.result.outcome(row.key) for row in half}
            answered = found.answered
        return Answer(Result(outcomes), answered)

    def _call(self, batch: Batch) -> Result:
        kind = batch.operations
        call: Callable[[Batch], Result] = self._client.write
        is_mixed = bool(self._resolved.object.batch.group_by) or self._resolved.object.delivery == "snapshot"
        if kind == {"delete"} and not is_mixed:
            call = cast(Deletes, self._client).delete
        elif kind == {"merge"}:
            call = cast(Merges, self._client).merge
        elif self._if_empty:
            batch = replace(batch, rows=self._leave_alone(batch))
        return call(batch)

    def _leave_alone(self, batch: Batch) -> list[Row]:
        """Rows without the `if_empty` fields that have a value at the destination."""
        asking = [row for row in batch.rows if any(row.payload.get(name) is not None for name in self._if_empty)]
        if not asking:
            return list(batch.rows)
        held = cast(ReadsBack, self._client).read_back(replace(batch, rows=asking))
        rows = []
        for row in batch.rows:
            there = held.get(row.key) or {}
            kept = {
                name: value
                for name, value in row.payload.items()
                if name not in self._if_empty or there.get(name) in (None, "", [])
            }
            same = len(kept) == len(row.payload)
            rows.append(row if same else replace(row, payload_json=json.dumps(kept, ensure_ascii=False)))
        return rows


def found_there(row: Row, held: dict[str, Any] | None) -> bool:
    """Does what was read back show that the row was applied?"""
    if row.operation in ("delete", "merge"):
        return held is None
    return held is not None and all(held.get(name) == value for name, value in row.payload.items())


def _is_silent(result: Result) -> bool:
    """No outcome has a reason that could quote a value."""
    others = result.others
    return not result.rows and (others is None or not others.reason)


def _without_values(result: Result, rows: Sequence[Row]) -> Result:
    """Reasons without the rows' own values."""
    others = result.others
    if others is not None and others.reason:
        others = replace(others, reason=masking.redact_rows(others.reason, rows))
    told = {}
    by_key = {row.key: row for row in rows} if any(o.reason for o in result.rows.values()) else {}
    for key, outcome in result.rows.items():
        row = by_key.get(key)
        told[key] = (
            replace(outcome, reason=masking.redact(outcome.reason, row.payload)) if row and outcome.reason else outcome
        )
    return Result(told, others)
