"""The ledger's part after delivery: open failures, and outcomes on their way to the delivery log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.engine import Engine

from reverse_etl import masking
from reverse_etl.ledger_rows import Failure
from reverse_etl.ledger_tables import failure, outbox, run

_FETCH = 50_000


class LedgerViews:
    """Mixed into Ledger, which opens the engine."""

    _engine: Engine

    # Open failures

    def close_failures(self, sync: str, run_id: str) -> None:
        """Forget failures that a complete run did not meet again: those rows are as wanted, or no longer wanted."""
        with self._engine.begin() as con:
            con.execute(failure.delete().where(failure.c.sync == sync, failure.c.last_run_id != run_id))

    def failures(self, sync: str, limit: int = 20) -> list[Failure]:
        """Open failures, those that failed most often first."""
        with self._engine.connect() as con:
            rows = con.execute(
                select(failure)
                .where(failure.c.sync == sync)
                .order_by(failure.c.attempts.desc(), failure.c.key)
                .limit(limit)
            )
            return [
                Failure(
                    masking.key_mark(r.key) if r.key else "(no key)",
                    r.operation,
                    r.status,
                    r.reason,
                    r.attempts,
                    r.first_run_id,
                )
                for r in rows
            ]

    def failure_counts(self, sync: str) -> dict[str, int]:
        """Number of open failures by status."""
        with self._engine.connect() as con:
            rows = con.execute(
                select(failure.c.status, func.count())
                .where(failure.c.sync == sync)
                .group_by(failure.c.status)
                .order_by(failure.c.status)
            )
            return {str(row[0]): int(row[1]) for row in rows}

    # Outbox

    def waiting_logs(self, sync: str) -> list[str]:
        """Runs whose outcomes are not in the delivery log yet."""
        with self._engine.connect() as con:
            return list(
                con.scalars(select(outbox.c.run_id).where(outbox.c.sync == sync).distinct().order_by(outbox.c.run_id))
            )

    def outcomes(self, sync: str, run_id: str) -> Iterator[dict[str, Any]]:
        """The delivery log's rows of a run, in the order of delivery."""
        query = (
            select(outbox, run.c.as_of)
            .join(run, and_(run.c.sync == outbox.c.sync, run.c.run_id == outbox.c.run_id))
            .where(outbox.c.sync == sync, outbox.c.run_id == run_id)
            .order_by(outbox.c.id)
        )
        with self._engine.connect() as con:
            for row in con.execution_options(yield_per=_FETCH).execute(query):
                yield {
                    "sync": row.sync,
                    "run_id": row.run_id,
                    "key": row.key,
                    "operation": row.operation,
                    "status": row.status,
                    "reason": row.reason,
                    "payload_hash": row.payload_hash,
                    "delivered_at": row.delivered_at.isoformat(timespec="milliseconds") + "Z",
                    "as_of": row.as_of + "Z",
                }

    def forget_outcomes(self, sync: str, run_id: str) -> None:
        """Empty the outbox of a run whose log file is in place."""
        with self._engine.begin() as con:
            con.execute(outbox.delete().where(outbox.c.sync == sync, outbox.c.run_id == run_id))
