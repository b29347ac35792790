"""The ledger's other half: runs and open rows as people see them, and what people have decided about a sync."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, text, update
from sqlalchemy.engine import Engine

from reverse_etl import ledger_batches, masking
from reverse_etl import ledger_codec as codec
from reverse_etl.ledger_rows import OpenRow, RunRecord
from reverse_etl.ledger_state import control_of
from reverse_etl.ledger_tables import alert, batch, control, message, open_row, run

if TYPE_CHECKING:
    import pyarrow as pa


class LedgerViews:
    """Mixed into Ledger, which opens the engine."""

    _engine: Engine
    _reader: Engine

    # Runs

    def last_mapping(self, sync: str) -> dict[str, str] | None:
        """The field map of the last run that may have sent something."""
        with self._reader.connect() as con:
            found = con.scalar(
                select(run.c.mapping)
                .where(run.c.sync == sync, run.c.status.in_(("succeeded", "failed", "crashed")))
                .order_by(run.c.number.desc())
                .limit(1)
            )
        return dict(json.loads(found)) if found else None

    def runs(self, sync: str, limit: int = 10) -> list[RunRecord]:
        """Last runs of a sync, newest first."""
        with self._reader.connect() as con:
            rows = con.execute(select(run).where(run.c.sync == sync).order_by(run.c.number.desc()).limit(limit))
            return [
                RunRecord(
                    r.sync, r.run_id, r.as_of, r.status, r.message, r.plan_id, r.resync_reason, json.loads(r.counts),
                    r.started_at, r.finished_at, r.seconds,
                )
                for r in rows
            ]  # fmt: skip

    # Open rows

    def open_rows(self, sync: str, limit: int = 20) -> list[OpenRow]:
        """Rows that are not as they should be, those that were tried most often first."""
        with self._reader.connect() as con:
            rows = con.execute(
                select(open_row)
                .where(open_row.c.sync == sync)
                .order_by(open_row.c.attempts.desc(), open_row.c.key)
                .limit(limit)
            )
            return [
                OpenRow(
                    masking.key_mark(r.key) if r.key else "(no key)",
                    r.operation,
                    r.status,
                    r.code,
                    r.reason,
                    r.attempts,
                    r.first_run_id,
                    r.last_run_id,
                )
                for r in rows
            ]

    def open_groups(self, sync: str) -> list[tuple[str, str, str, int]]:
        """Open rows by status, code and reason, with their number; most frequent first."""
        with self._reader.connect() as con:
            number = func.count()
            columns = (open_row.c.status, open_row.c.code, open_row.c.reason)
            rows = con.execute(
                select(*columns, number)
                .where(open_row.c.sync == sync)
                .group_by(*columns)
                .order_by(number.desc(), *columns)
            )
            return [(str(r[0]), str(r[1]), str(r[2]), int(r[3])) for r in rows]

    def open_counts(self, sync: str) -> dict[str, int]:
        """Number of open rows by status."""
        with self._reader.connect() as con:
            rows = con.execute(
                select(open_row.c.status, func.count())
                .where(open_row.c.sync == sync)
                .group_by(open_row.c.status)
                .order_by(open_row.c.status)
            )
            return {str(row[0]): int(row[1]) for row in rows}

    def attempts(self, sync: str) -> dict[str, int]:
        """How often each open row was tried: key -> times."""
        with self._reader.connect() as con:
            rows = con.execute(select(open_row.c.key, open_row.c.attempts).where(open_row.c.sync == sync))
            return {str(row[0]): int(row[1]) for row in rows}

    def known_reasons(self, sync: str, status: str) -> dict[str, str]:
        """Open rows of a status: key -> reason. What was told already is not told again in the log."""
        with self._reader.connect() as con:
            rows = con.execute(
                select(open_row.c.key, open_row.c.reason).where(open_row.c.sync == sync, open_row.c.status == status)
            )
            return {str(row[0]): str(row[1]) for row in rows}

    # Delivery log

    def unlogged_runs(self, sync: str) -> list[RunRecord]:
        """Finished runs whose outcomes are not in the delivery log yet, oldest first."""
        with self._reader.connect() as con:
            rows = con.execute(
                select(run)
                .where(run.c.sync == sync, run.c.is_logged.is_(False), run.c.status != "running")
                .order_by(run.c.number)
            )
            return [
                RunRecord(
                    r.sync, r.run_id, r.as_of, r.status, r.message, r.plan_id, r.resync_reason, json.loads(r.counts),
                    r.started_at, r.finished_at, r.seconds,
                )
                for r in rows
            ]  # fmt: skip

    def outcomes(self, sync: str, run_id: str) -> Iterator[tuple[datetime, pa.Table]]:
        """Batches of a run in the order of delivery: when they were settled, and their rows with their outcomes."""
        query = select(batch).where(batch.c.sync == sync, batch.c.run_id == run_id).order_by(batch.c.number)
        with self._reader.connect() as con:
            for row, table in ledger_batches.read(con, sync, con.execute(query).all()):
                rows = table.slice(row.start, row.row_count)
                yield row.settled_at or row.intended_at, codec.with_outcomes(rows, row.outcomes)

    def mark_logged(self, sync: str, run_id: str) -> None:
        """The log files of a run are in place."""
        with self._engine.begin() as con:
            con.execute(update(run).where(run.c.sync == sync, run.c.run_id == run_id).values(is_logged=True))

    # Decisions

    def control(self, sync: str) -> Any:
        """The control row: paused_reason, bound_to, reset_through, reset_reason, folded_through, folded_rows."""
        with self._engine.begin() as con:
            return control_of(con, sync)

    def set_control(self, sync: str, **values: Any) -> None:
        """Change the control row."""
        with self._engine.begin() as con:
            control_of(con, sync)
            con.execute(update(control).where(control.c.sync == sync).values(**values))

    # Messages

    def messages_since(self, persons: Sequence[str], channels: Sequence[str], since: datetime) -> dict[str, int]:
        """Messages of all syncs by person, also those from a clock that was ahead of ours."""
        found: dict[str, int] = {}
        with self._reader.connect() as con:
            for start in range(0, len(persons), 500):
                part = persons[start : start + 500]
                rows = con.execute(
                    select(message.c.person, func.count())
                    .where(message.c.person.in_(part), message.c.channel.in_(channels), message.c.sent_at > since)
                    .group_by(message.c.person)
                )
                found.update({str(row[0]): int(row[1]) for row in rows})
        return found

    def forget_messages(self, before: datetime) -> None:
        """Drop messages that no cap can count any more."""
        with self._engine.begin() as con:
            con.execute(message.delete().where(message.c.sent_at < before))

    # Alerts

    def open_alerts(self, sync: str) -> dict[str, str]:
        """Alerts that are raised: kind -> detail."""
        with self._reader.connect() as con:
            return {r.kind: r.detail for r in con.execute(select(alert).where(alert.c.sync == sync))}

    def set_alerts(self, sync: str, run_id: str, raised: Mapping[str, str]) -> None:
        """What is raised from now on: kind -> detail."""
        with self._engine.begin() as con:
            con.execute(alert.delete().where(alert.c.sync == sync))
            if raised:
                con.execute(
                    alert.insert(),
                    [
                        {"sync": sync, "kind": kind, "run_id": run_id, "detail": detail}
                        for kind, detail in raised.items()
                    ],
                )

    def check(self) -> str:
        """What the database says about itself: "ok", or what is damaged. Reads all of it."""
        with self._reader.connect() as con:
            if con.dialect.name != "sqlite":
                return "ok"
            return str(con.scalar(text("pragma quick_check(1)")))
