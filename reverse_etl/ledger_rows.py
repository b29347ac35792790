"""What the ledger's readers get, and the statements that several of its transactions share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, bindparam, update
from sqlalchemy.engine import Connection

from reverse_etl.ledger_tables import failure


@dataclass(frozen=True)
class RunRecord:
    """One run as `cdp sync status` shows it."""

    sync: str
    run_id: str
    as_of: str
    status: str
    message: str
    counts: dict[str, int]
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class Failure:
    """A row that the destination does not hold as it should; the key is shown as a mark only."""

    key_mark: str
    operation: str
    status: str
    reason: str
    attempts: int
    first_run_id: str


def note_failure(
    con: Connection, sync: str, run_id: str, key: str, operation: str, status: str, reason: str, in_doubt: bool
) -> None:
    here = and_(failure.c.sync == sync, failure.c.key == key)
    changed = con.execute(
        update(failure)
        .where(here)
        .values(
            operation=operation,
            status=status,
            reason=reason,
            last_run_id=run_id,
            in_doubt=in_doubt,
            attempts=failure.c.attempts + 1,
        )
    )
    if changed.rowcount == 0:
        con.execute(
            failure.insert().values(
                sync=sync,
                key=key,
                operation=operation,
                status=status,
                reason=reason,
                attempts=1,
                first_run_id=run_id,
                last_run_id=run_id,
                in_doubt=in_doubt,
            )
        )


def delete_keys(con: Connection, table: Any, sync: str, keys: Sequence[str]) -> None:
    if keys:
        con.execute(
            table.delete().where(table.c.sync == bindparam("of_sync"), table.c.key == bindparam("of_key")),
            [{"of_sync": sync, "of_key": key} for key in keys],
        )


def now() -> datetime:
    # Operational times only: nothing that is sent or planned depends on them.
    return datetime.now(UTC).replace(tzinfo=None)


def configure_sqlite(dbapi_connection: Any, _record: Any) -> None:
    cursor = dbapi_connection.cursor()
    # WAL lets `cdp sync status` read while a run writes; FULL makes an intent durable before the send it stands for.
    for pragma in ("journal_mode = wal", "synchronous = full", "busy_timeout = 30000"):
        cursor.execute(f"pragma {pragma}")
    cursor.close()
