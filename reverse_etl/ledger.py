"""The ledger: what was meant, what came of it, and what the destination is known to hold.

Invariants, which hold at every instant, whatever is killed when:

1. No row is sent that is not in a batch written down before (`open_window` commits first).
2. A batch's rows never change. Its status goes intended -> settled | in_doubt -> settled, never back.
3. The acknowledged state of a key is the newest success among its batches; a row without an answer changes nothing.
4. A key is in doubt while a batch holds it without a definite outcome and no later batch has succeeded with it.
5. Each method is one transaction. One process at a time writes for one sync (`ledger_open.only_run`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from cdp.settings import Settings
from reverse_etl import ledger_batches, ledger_write
from reverse_etl import ledger_codec as codec
from reverse_etl.destination import Outcome, Result
from reverse_etl.ledger_open import holding, open_ledger
from reverse_etl.ledger_rows import Intended, Message, Settled
from reverse_etl.ledger_state import LedgerState, control_of
from reverse_etl.ledger_tables import batch, control, open_row, run, state_part
from reverse_etl.ledger_views import LedgerViews
from reverse_etl.ledger_write import LedgerError

if TYPE_CHECKING:
    import pyarrow as pa


class Ledger(LedgerState, LedgerViews):
    """The only way to the ledger's database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine = open_ledger(settings)
        self._reader: Engine = self._engine.execution_options(reading=True)

    @property
    def engine(self) -> Engine:
        """For the run's lock, tests and inspection."""
        return self._engine

    def close(self) -> None:
        """Give connections back."""
        self._engine.dispose()

    def only_run(self, sync: str) -> AbstractContextManager[None]:
        """Hold a sync: a second run is refused at once with BusyError."""
        return holding(f"sync_{sync}", self._engine, self._settings)

    def message_lock(self) -> AbstractContextManager[None]:
        """Hold the counting of messages, from the look at the caps until the messages are written down."""
        return holding("messages", self._engine, self._settings, wait=True)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction. Raises LedgerError when it cannot be made durable: a full disk, a lost connection."""
        try:
            with self._engine.begin() as con:
                yield con
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", error)).splitlines()[0]
            raise LedgerError(
                f"the ledger cannot be written: {said}",
                where=self._engine.url.render_as_string(hide_password=True),
                expected="room, and the database within reach",
                fix="make room or mend the connection and run again: what was sent meanwhile is in doubt until then",
            ) from None

    # Runs

    def start_run(self, sync: str, as_of: str, mapping: Mapping[str, str]) -> str:
        """Open a run and return its id, `<as_of>-<number of the sync's run>`; the same ledger gives the same id."""
        with self._writing() as con:
            number = 1 + (con.scalar(select(func.max(run.c.number)).where(run.c.sync == sync)) or 0)
            compact = "".join(c for c in as_of[:19] if c.isdigit() or c == "T")
            run_id = f"{compact}-{number:05d}"
            con.execute(
                run.insert().values(
                    run_id=run_id,
                    sync=sync,
                    number=number,
                    as_of=as_of,
                    status="running",
                    mapping=json.dumps(mapping, sort_keys=True),
                    started_at=now(),
                )
            )
        return run_id

    def finish_run(
        self,
        sync: str,
        run_id: str,
        status: str,
        counts: Mapping[str, Any],
        message: str = "",
        *,
        plan_id: str = "",
        resync_reason: str = "",
        seconds: float = 0.0,
    ) -> None:
        """Close a run with its figures."""
        with self._writing() as con:
            con.execute(
                update(run)
                .where(run.c.sync == sync, run.c.run_id == run_id)
                .values(
                    status=status,
                    counts=json.dumps(counts),
                    message=message,
                    plan_id=plan_id,
                    resync_reason=resync_reason,
                    seconds=seconds,
                    finished_at=now(),
                )
            )

    def close_crashed(self, sync: str) -> list[str]:
        """Close what died without saying so. Call with the sync's lock held: then none can be alive.

        Batches that were meant and have no outcome are in doubt from here on.
        """
        with self._writing() as con:
            dead = (run.c.sync == sync) & (run.c.status == "running")
            run_ids: list[str] = list(con.scalars(select(run.c.run_id).where(dead).order_by(run.c.number)))
            con.execute(update(run).where(dead).values(status="crashed", finished_at=now()))
            lost = con.execute(
                select(batch).where(batch.c.sync == sync, batch.c.status == "intended").order_by(batch.c.number)
            ).all()
            for each, table in ledger_batches.read(con, sync, lost):
                rows = table.slice(each.start, each.row_count)
                unknown = Settled(Intended(each.number, rows, each.idempotency_key), Result())
                ledger_write.note_open_rows(con, sync, each.run_id, [unknown])
            con.execute(
                update(batch).where(batch.c.sync == sync, batch.c.status == "intended").values(status="in_doubt")
            )
        return run_ids

    # Batches

    def next_number(self, sync: str) -> int:
        """Number of the sync's next batch. Numbers only grow, also when batches are folded away."""
        with self._reader.connect() as con:
            highest = con.scalar(select(func.max(batch.c.number)).where(batch.c.sync == sync)) or 0
            folded = con.scalar(select(control.c.folded_through).where(control.c.sync == sync)) or 0
            return 1 + max(int(highest), int(folded))

    def advance(
        self,
        sync: str,
        run_id: str,
        *,
        settle: Sequence[Settled] = (),
        intend: Sequence[Intended] = (),
        kept_back: Sequence[Settled] = (),
        messages: Mapping[int, Sequence[Message]] | None = None,
    ) -> None:
        """One step of a delivery, in one transaction: outcomes of what was sent, and what is sent next.

        `kept_back`: rows that are not sent, with their reasons. `messages`: by number of the batch that carries them.
        """
        at = now()
        with self._writing() as con:
            ledger_write.settle(con, sync, run_id, settle, at)
            ledger_write.intend(con, sync, run_id, intend, at)
            ledger_write.keep_back(con, sync, run_id, kept_back, at)
            ledger_write.note_messages(con, sync, messages or {})

    def decide(self, sync: str, number: int, decided: Mapping[str, str]) -> None:
        """Close doubts of an earlier batch: key -> what decided it. Rows that stay in doubt keep it open."""
        with self._writing() as con:
            found = con.execute(select(batch).where(batch.c.sync == sync, batch.c.number == number)).one()
            rows = ledger_batches.rows_of(con, sync, found)
            others, single = codec.unpack_outcomes(found.outcomes)
            outcomes: dict[str, Outcome] = {}
            for position, key in enumerate(rows["key"].to_pylist()):
                before = single.get(position, others)
                is_decided = before.status == "in_doubt" and key in decided
                outcomes[key] = Outcome("superseded", decided[key]) if is_decided else before
            text, in_doubt = codec.pack_outcomes(list(outcomes), Result(outcomes))
            con.execute(
                update(batch)
                .where(batch.c.sync == sync, batch.c.number == number)
                .values(status="in_doubt" if in_doubt else "settled", outcomes=text)
            )

    def close_decided(self, sync: str) -> None:
        """Close the doubts of batches that a later success has decided."""
        with self._reader.connect() as con:
            if (
                con.execute(select(batch.c.number).where(batch.c.sync == sync, batch.c.status == "in_doubt")).first()
                is None
            ):
                return
        import duckdb

        with duckdb.connect(config={"threads": 1}) as con:
            self.load_known(con, sync)
            for number, decided in self.supersede(con, sync).items():
                self.decide(sync, number, decided)

    def forget_state(self, sync: str) -> int:
        """Forget what the destination holds, doubts included; the number of rows. Nothing is deleted there."""
        through = self.next_number(sync) - 1
        with self._writing() as con:
            control_of(con, sync)
            number = int(con.scalar(select(func.sum(state_part.c.row_count)).where(state_part.c.sync == sync)) or 0)
            waiting = con.scalar(
                select(func.sum(batch.c.row_count)).where(batch.c.sync == sync, batch.c.number <= through)
            )
            con.execute(state_part.delete().where(state_part.c.sync == sync))
            con.execute(update(batch).where(batch.c.sync == sync).values(status="settled"))
            con.execute(update(control).where(control.c.sync == sync).values(folded_through=through, folded_rows=0))
            con.execute(open_row.delete().where(open_row.c.sync == sync))
        return number + int(waiting or 0)

    def note_invalid(self, sync: str, run_id: str, invalid: pa.Table) -> None:
        """Note rows that broke a rule (key, reason). Only news go to the delivery log."""

        known = self.known_reasons(sync, "invalid")
        pairs = zip(invalid["key"].to_pylist(), invalid["reason"].to_pylist(), strict=True)
        outcomes = {key: Outcome("invalid", reason, "invalid") for key, reason in pairs}
        news = {key: outcome for key, outcome in outcomes.items() if known.get(key) != outcome.reason}
        old = {key: outcome for key, outcome in outcomes.items() if key not in news}
        if old:
            with self._writing() as con:
                ledger_write.note_open_rows(con, sync, run_id, [_unsent(0, old)])
        if news:
            self.advance(sync, run_id, kept_back=[_unsent(self.next_number(sync), news)])

    def close_open_rows(self, sync: str, run_id: str) -> None:
        """Forget open rows that a complete run did not meet again: they are as wanted, or no longer wanted.

        What is in doubt is not forgotten.
        """
        with self._writing() as con:
            con.execute(
                open_row.delete().where(
                    open_row.c.sync == sync, open_row.c.last_run_id != run_id, open_row.c.status != "in_doubt"
                )
            )


def _unsent(number: int, outcomes: Mapping[str, Outcome]) -> Settled:
    """A batch of rows that have nothing but a key and an outcome."""
    import pyarrow as pa

    columns = {name: [""] * len(outcomes) for name in codec.BATCH_COLUMNS if name != "digest"}
    columns |= {"key": list(outcomes), "operation": ["none"] * len(outcomes), "effect": ["none"] * len(outcomes)}
    rows = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    rows = rows.append_column("digest", pa.nulls(len(outcomes), pa.uint64())).select(codec.BATCH_COLUMNS)
    return Settled(Intended(number, rows, ""), Result(outcomes))


def now() -> datetime:
    """Operational times only: nothing that is sent or planned depends on them."""
    return datetime.now(UTC).replace(tzinfo=None)
