"""Deliver: a plan's rows go out window by window; what is meant is written down before, what came of it after.

A window is a number of batches. One transaction closes a window and opens another, so that the ledger costs one write to disk
a window and not one a row; it is made while the window between them is under way, and the one that was opened goes out as soon
as a sender is free, so nobody waits for the disk. After a crash the open windows (two at most) are in doubt. Where sending
twice does harm, a window is no wider than what is under way at once, and the next one is not written down before its outcomes
are.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from cdp.errors import CdpError
from reverse_etl import messages
from reverse_etl.batches import Portion, idempotency_key, portions
from reverse_etl.catalog import ResolvedSync
from reverse_etl.consent import ConsentGate
from reverse_etl.destination import Outcome, Result, TableRows
from reverse_etl.ledger import Ledger
from reverse_etl.ledger_rows import Intended, Message, Settled
from reverse_etl.pace import Pace
from reverse_etl.send import NOT_SENT, Answer, Sender

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

# Batches of a window where sending again does no harm. A window costs the ledger 4 ms besides its rows, so a wide one is
# cheap; and what is in doubt after a crash is at most two of them.
_WINDOW = 64


@dataclass
class Delivery:
    """Figures of one delivery: (operation, status) -> rows."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    not_attempted: int = 0
    message: str = ""
    error: CdpError | None = None


@dataclass
class _Job:
    """A batch on its way. `refused`: rows of it that lost their consent since it was written down, and are not sent."""

    batch: Intended
    table: pa.Table
    rows: TableRows
    refused: dict[str, Outcome] = field(default_factory=dict)
    answer: Answer = field(default_factory=lambda: Answer(Result()))


@dataclass
class _Window:
    """Batches that were written down together, and those who send them."""

    jobs: list[_Job]
    senders: list[Future[None]]


@dataclass
class Delivering:
    """What a delivery works with."""

    resolved: ResolvedSync
    ledger: Ledger
    sender: Sender
    pace: Pace
    gate: ConsentGate
    run_id: str
    rules: messages.MessagePolicy
    # The wall clock, in UTC: only caps and quiet hours look at it.
    clock: Callable[[], datetime]
    delivery: Delivery = field(default_factory=Delivery)
    _settled: list[Settled] = field(default_factory=list)
    _under_way: deque[_Window] = field(default_factory=deque)
    _next: int = 0

    @property
    def name(self) -> str:
        """Of the sync in the ledger."""
        return self.resolved.ledger_name

    def deliver(self, operations: pa.Table, *, has_forgotten: bool = False) -> Delivery:
        """Send all rows of a plan. Never raises for what the destination answers: `error` carries what ended it.

        `has_forgotten`: some rows are only forgotten.
        """
        self._next = self.ledger.next_number(self.name)
        wanted = self._forget(operations) if has_forgotten else operations
        allowed, refused = self.gate.check(wanted)
        self._keep_back(wanted, refused)
        with ThreadPoolExecutor(self.resolved.spec.concurrency) as pool:
            for _, phase in itertools.groupby(portions(allowed, self.resolved), key=lambda portion: portion.phase):
                for window in _chunks(phase, self._width()):
                    if self.delivery.message or self._stopped():
                        self.delivery.not_attempted += sum(
                            _changing(allowed.slice(portion.start, portion.length)).num_rows for portion in window
                        )
                    else:
                        self._window(pool, allowed, window)
                self._collect()
        self._close()
        return self.delivery

    def resend(self, batch: Intended) -> Answer:
        """Send a batch of an earlier run once more, under its own key, as a batch of this run."""
        self.ledger.advance(self.name, self.run_id, intend=[batch])
        answer = self.sender.send(TableRows(batch.rows), batch.idempotency_key)
        self.ledger.advance(self.name, self.run_id, settle=[Settled(batch, answer.result)])
        self._count(batch, answer.result)
        return answer

    def _window(self, pool: ThreadPoolExecutor, allowed: pa.Table, window: Sequence[Portion]) -> None:
        tables = [allowed.slice(portion.start, portion.length) for portion in window]
        if self.gate.moved():
            checked = [self.gate.check(table) for table in tables]
            for table, (_, refused) in zip(tables, checked, strict=True):
                self._keep_back(table, refused)
            tables = [table for table, _ in checked]
        if self.resolved.object.message:
            with self.ledger.message_lock():
                tables, noted = self._capped(tables)
                intended = self._intend(window, tables, noted)
        else:
            intended = self._intend(window, tables, {})
        for job in intended:
            if self.gate.moved():
                going, job.refused = self.gate.check(job.table)
                job.rows = TableRows(going, job.batch.operation)
        # Each thread takes the next batch by itself: to hand them over one by one costs as much as a small call. A thread
        # that finds none left goes on to the next window; no key is in two windows of a phase.
        waiting = deque(job for job in intended if len(job.rows))
        under_way = min(self.resolved.spec.concurrency, len(waiting))
        self._under_way.append(_Window(intended, [pool.submit(self._send_next, waiting) for _ in range(under_way)]))
        self._collect(leave=1 if self._overlaps else 0)

    def _send_next(self, waiting: deque[_Job]) -> None:
        """Send batches until there is none that waits. Runs in threads."""
        while True:
            try:
                job = waiting.popleft()
            except IndexError:
                return
            job.answer = self.sender.send(job.rows, job.batch.idempotency_key)

    def _collect(self, leave: int = 0) -> None:
        """Wait for the windows that are under way, but for the last so many."""
        while len(self._under_way) > leave:
            window = self._under_way.popleft()
            for sender in window.senders:
                sender.result()
            for job in window.jobs:
                answer, result = job.answer, job.answer.result
                if job.refused:
                    result = Result({**result.rows, **job.refused}, result.others)
                self._settled.append(Settled(job.batch, result))
                self._count(job.batch, result)
                if answer.error is not None and self.delivery.error is None:
                    self.delivery.error = answer.error
        self.delivery.message = self.delivery.message or self.sender.breaker.reason

    def _intend(
        self, window: Sequence[Portion], tables: Sequence[pa.Table], noted: dict[int, list[Message]]
    ) -> list[_Job]:
        """Close the window before and open this one, in one transaction."""
        intended = []
        is_snapshot = self.resolved.object.delivery == "snapshot"
        for number, (portion, table) in enumerate(zip(window, tables, strict=True), start=self._next):
            changing = _changing(table) if is_snapshot else table
            if changing.num_rows:
                key = idempotency_key(self.name, number, changing, portion.operation)
                batch = Intended(number, changing, key, portion.operation)
                intended.append(_Job(batch, table, TableRows(table, portion.operation)))
        self._next += len(tables)
        self.ledger.advance(
            self.name, self.run_id, settle=self._settled, intend=[job.batch for job in intended], messages=noted
        )
        self._settled = []
        return intended

    def _capped(self, tables: Sequence[pa.Table]) -> tuple[list[pa.Table], dict[int, list[Message]]]:
        """Tables without the rows that caps or quiet hours hold back, and the messages of the others by batch."""
        channel, now = str(self.resolved.object.message), self.clock()
        rows = [
            (key, person or key)
            for table in tables
            for key, person in zip(table["key"].to_pylist(), table["person"].to_pylist(), strict=True)
        ]
        held = messages.suppressed(self.rules, channel, rows, self.ledger, now)
        left = [self._keep_back(table, held) for table in tables]
        noted: dict[int, list[Message]] = {}
        for position, table in enumerate(left, start=self._next):
            pairs = zip(table["key"].to_pylist(), table["person"].to_pylist(), strict=True)
            noted[position] = [Message(key, person or key, channel, now.replace(tzinfo=None)) for key, person in pairs]
        return left, noted

    def _forget(self, operations: pa.Table) -> pa.Table:
        """Note keys that are no longer remembered, without a call; the rows that are left."""
        import pyarrow.compute as pc

        forgotten = pc.equal(operations["operation"], "forget")
        self._note(operations.filter(forgotten), Result(others=Outcome("succeeded")))
        return operations.filter(pc.invert(forgotten))

    def _keep_back(self, table: pa.Table, outcomes: dict[str, Outcome]) -> pa.Table:
        """Note rows that are not sent, with their reason; the rows that are left."""
        if not outcomes or not table.num_rows:
            return table
        import pyarrow as pa
        import pyarrow.compute as pc

        is_held = pc.is_in(table["key"], pa.array(list(outcomes), pa.string()))
        held = table.filter(is_held)
        if held.num_rows:
            keys = held["key"].to_pylist()
            self._note(held, Result({key: outcomes[key] for key in keys}))
            operations = held["operation"].to_pylist()
            self.delivery.outcomes.update((o, outcomes[k].status) for k, o in zip(keys, operations, strict=True))
        return table.filter(pc.invert(is_held))

    def _note(self, rows: pa.Table, result: Result) -> None:
        """Rows that are decided without a call."""
        batch = Intended(self._next, rows, "")
        self._next += 1
        self.ledger.advance(self.name, self.run_id, kept_back=[Settled(batch, result)])

    def _count(self, batch: Intended, result: Result) -> None:
        others = result.others
        if batch.operation and not result.rows and others is not None and others.code != NOT_SENT:
            self.delivery.outcomes[batch.operation, others.status] += batch.rows.num_rows
            return
        for key, operation in zip(batch.rows["key"].to_pylist(), batch.rows["operation"].to_pylist(), strict=True):
            outcome = result.outcome(key)
            if outcome.code == NOT_SENT:
                self.delivery.not_attempted += 1
            else:
                self.delivery.outcomes[operation, outcome.status] += 1

    def _close(self) -> None:
        if self._settled:
            self.ledger.advance(self.name, self.run_id, settle=self._settled)
            self._settled = []

    def _stopped(self) -> bool:
        if reason := self.pace.stopped:
            self.delivery.message = reason
        return bool(reason)

    @property
    def _overlaps(self) -> bool:
        """May a window be written down while the one before it is under way?"""
        return self.resolved.object.repeat != "harmful" and not self.resolved.object.message

    def _width(self) -> int:
        under_way = self.resolved.spec.concurrency
        return under_way if self.resolved.object.repeat == "harmful" else max(_WINDOW, 4 * under_way)


def _changing(table: pa.Table) -> pa.Table:
    """Without unchanged rows, which only fill up a snapshot and are not part of what is meant."""
    import pyarrow.compute as pc

    return table.filter(pc.not_equal(table["operation"], "unchanged"))


def _chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk
