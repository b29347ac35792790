"""The ledger: what was meant, what came of it, and what the destination is known to hold.

Every public method is one transaction, so a crash leaves the ledger as it was before or after it. One process at a
time writes for one sync (the engine's lock); several syncs may run at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import and_, create_engine, event, func, literal, null, select, true, union_all, update
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import OperationalError

from cdp.errors import ConfigurationError
from cdp.settings import Settings
from reverse_etl.destination import Outcome, Row
from reverse_etl.ledger_rows import RunRecord, configure_sqlite, delete_keys, note_failure, now
from reverse_etl.ledger_tables import failure, intent, metadata, outbox, run, state
from reverse_etl.ledger_views import LedgerViews

if TYPE_CHECKING:
    import pyarrow as pa

_FETCH = 50_000


class Ledger(LedgerViews):
    """The only way to the ledger's database."""

    def __init__(self, settings: Settings) -> None:
        url = make_url(settings.ledger_database_url())
        self._engine = create_engine(url)
        if url.get_backend_name() == "sqlite":
            settings.path().mkdir(parents=True, exist_ok=True)
            event.listen(self._engine, "connect", configure_sqlite)
        try:
            metadata.create_all(self._engine)
        except OperationalError as error:
            raise ConfigurationError(
                f"the ledger cannot be opened: {error.orig}",
                where=url.render_as_string(hide_password=True),
                fix="check CDP_LEDGER_URL, the folder's rights and free space",
            ) from None

    @property
    def engine(self) -> Engine:
        """For tests and inspection."""
        return self._engine

    def close(self) -> None:
        """Give connections back."""
        self._engine.dispose()

    # Runs

    def start_run(self, sync: str, as_of: str, mapping: Mapping[str, str]) -> str:
        """Open a run and return its id, `<as_of>-<number of the sync's run>`; the same ledger gives the same id."""
        with self._engine.begin() as con:
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
                    message="",
                    counts="{}",
                    mapping=json.dumps(mapping, sort_keys=True),
                    started_at=now(),
                )
            )
        return run_id

    def finish_run(self, sync: str, run_id: str, status: str, counts: Mapping[str, int], message: str = "") -> None:
        """Close a run with its figures."""
        with self._engine.begin() as con:
            con.execute(
                update(run)
                .where(run.c.sync == sync, run.c.run_id == run_id)
                .values(status=status, counts=json.dumps(counts), message=message, finished_at=now())
            )

    def crashed_runs(self, sync: str) -> list[str]:
        """Close the runs that died without saying so. Call with the sync's lock held: then none can be alive."""
        with self._engine.begin() as con:
            dead = and_(run.c.sync == sync, run.c.status == "running")
            run_ids: list[str] = list(con.scalars(select(run.c.run_id).where(dead).order_by(run.c.number)))
            con.execute(update(run).where(dead).values(status="crashed", finished_at=now()))
        return run_ids

    def last_mapping(self, sync: str) -> dict[str, str] | None:
        """The field map of the last run that may have sent something."""
        with self._engine.connect() as con:
            found = con.scalar(
                select(run.c.mapping)
                .where(run.c.sync == sync, run.c.status.in_(("succeeded", "failed", "crashed")))
                .order_by(run.c.number.desc())
                .limit(1)
            )
        return dict(json.loads(found)) if found else None

    def runs(self, sync: str, limit: int = 10) -> list[RunRecord]:
        """Last runs of a sync, newest first."""
        with self._engine.connect() as con:
            rows = con.execute(select(run).where(run.c.sync == sync).order_by(run.c.number.desc()).limit(limit))
            return [
                RunRecord(
                    r.sync, r.run_id, r.as_of, r.status, r.message, json.loads(r.counts), r.started_at, r.finished_at
                )
                for r in rows
            ]

    # What is known of the destination

    def known_rows(self, sync: str) -> pa.Table:
        """All keys that the destination holds or may hold, for DuckDB to compare with.

        Columns: key, payload and payload_hash (acknowledged; null when none), doubtful_payload, in_doubt.
        """
        import pyarrow as pa

        open_intent = and_(intent.c.sync == state.c.sync, intent.c.key == state.c.key)
        acknowledged = (
            select(
                state.c.key,
                state.c.payload,
                state.c.payload_hash,
                intent.c.payload.label("doubtful_payload"),
                intent.c.key.is_not(null()).label("in_doubt"),
            )
            .select_from(state.outerjoin(intent, open_intent))
            .where(state.c.sync == sync)
        )
        never_acknowledged = select(
            intent.c.key, null().label("payload"), null().label("payload_hash"), intent.c.payload, true()
        ).where(intent.c.sync == sync, ~select(literal(1)).where(open_intent).exists())
        schema = pa.schema(
            [
                ("key", pa.string()),
                ("payload", pa.string()),
                ("payload_hash", pa.string()),
                ("doubtful_payload", pa.string()),
                ("in_doubt", pa.bool_()),
            ]
        )
        batches = []
        with self._engine.connect() as con:
            result = con.execution_options(yield_per=_FETCH).execute(union_all(acknowledged, never_acknowledged))
            for rows in result.partitions():
                columns = list(zip(*rows, strict=True))
                arrays = [pa.array(column, pa.string()) for column in columns[:4]]
                arrays.append(pa.array(columns[4]).cast(pa.bool_()))
                batches.append(pa.record_batch(arrays, schema=schema))
        return pa.Table.from_batches(batches, schema=schema)

    # One batch

    def intend(self, sync: str, run_id: str, rows: Sequence[Row]) -> None:
        """Write down what is about to be sent. Must be committed before the first byte leaves."""
        if not rows:
            return
        with self._engine.begin() as con:
            delete_keys(con, intent, sync, [row.key for row in rows])
            con.execute(
                intent.insert(),
                [
                    {
                        "sync": sync,
                        "key": row.key,
                        "operation": row.operation,
                        "payload_hash": row.payload_hash,
                        "payload": row.payload_json,
                        "run_id": run_id,
                    }
                    for row in rows
                ],
            )

    def record(self, sync: str, run_id: str, rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> None:
        """Write down what came of each row: state, open failures and the delivery log's outbox move together."""
        if not rows:
            return
        at = now()
        acknowledged = [row for row in rows if outcomes[row.key].status == "succeeded"]
        others = [row for row in rows if outcomes[row.key].status != "succeeded"]
        stored = [row for row in acknowledged if row.operation != "delete"]
        # A row whose effect is unknown, now or from before, stays in doubt until an acknowledgement settles it.
        settled = [row for row in others if not (outcomes[row.key].status == "in_doubt" or row.in_doubt)]
        with self._engine.begin() as con:
            delete_keys(con, state, sync, [row.key for row in acknowledged])
            if stored:
                con.execute(
                    state.insert(),
                    [
                        {
                            "sync": sync,
                            "key": row.key,
                            "payload_hash": row.payload_hash,
                            "payload": row.payload_json,
                            "run_id": run_id,
                            "acked_at": at,
                        }
                        for row in stored
                    ],
                )
            delete_keys(con, intent, sync, [row.key for row in [*acknowledged, *settled]])
            delete_keys(con, failure, sync, [row.key for row in acknowledged])
            for row in others:
                outcome = outcomes[row.key]
                note_failure(
                    con,
                    sync,
                    run_id,
                    row.key,
                    row.operation,
                    outcome.status,
                    outcome.reason,
                    outcome.status == "in_doubt" or row.in_doubt,
                )
            con.execute(
                outbox.insert(),
                [
                    {
                        "sync": sync,
                        "run_id": run_id,
                        "key": row.key,
                        "operation": row.operation,
                        "status": outcomes[row.key].status,
                        "reason": outcomes[row.key].reason,
                        "payload_hash": row.payload_hash,
                        "delivered_at": at,
                    }
                    for row in rows
                ],
            )

    def record_invalid(self, sync: str, run_id: str, invalid: Sequence[tuple[str, str]]) -> None:
        """Note (key, reason) of rows that were kept back. Only news goes to the delivery log."""
        at = now()
        with self._engine.begin() as con:
            known = {
                row.key: row.reason
                for row in con.execute(
                    select(failure.c.key, failure.c.reason).where(failure.c.sync == sync, failure.c.status == "invalid")
                )
            }
            news = [(key, reason) for key, reason in invalid if known.get(key) != reason]
            for key, reason in invalid:
                note_failure(con, sync, run_id, key, "none", "invalid", reason, False)
            if news:
                con.execute(
                    outbox.insert(),
                    [
                        {
                            "sync": sync,
                            "run_id": run_id,
                            "key": key,
                            "operation": "none",
                            "status": "invalid",
                            "reason": reason,
                            "payload_hash": "",
                            "delivered_at": at,
                        }
                        for key, reason in news
                    ],
                )
