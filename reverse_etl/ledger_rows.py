"""What the ledger's readers get, and the statements that several of its transactions share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from reverse_etl.destination import Outcome
from reverse_etl.ledger_tables import open_row


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


_PORTION = 2_000


def note_open_rows(con: Connection, sync: str, run_id: str, outcomes: Iterable[tuple[str, str, Outcome]]) -> None:
    """Note rows that are not as they should be, and forget those that are. In bulk: a bad day has many."""
    bad: list[dict[str, Any]] = []
    good: list[str] = []
    for key, operation, outcome in outcomes:
        if outcome.status == "succeeded":
            good.append(key)
            continue
        bad.append(
            {
                "sync": sync,
                "key": key,
                "operation": operation,
                "status": outcome.status,
                "code": outcome.code,
                "reason": outcome.reason,
                "attempts": 1,
                "first_run_id": run_id,
                "last_run_id": run_id,
            }
        )
    # One look instead of a delete for each of the rows that succeeded, which are nearly all.
    if good and con.execute(select(open_row.c.key).where(open_row.c.sync == sync).limit(1)).first():
        for start in range(0, len(good), 500):
            part = good[start : start + 500]
            con.execute(open_row.delete().where(open_row.c.sync == sync, open_row.c.key.in_(part)))
    dialect = postgresql if con.dialect.name == "postgresql" else sqlite
    for start in range(0, len(bad), _PORTION):
        statement = dialect.insert(open_row)
        new = statement.excluded
        is_again = open_row.c.last_run_id != new.last_run_id
        con.execute(
            statement.on_conflict_do_update(
                index_elements=["sync", "key"],
                set_={
                    "operation": new.operation,
                    "status": new.status,
                    "code": new.code,
                    "reason": new.reason,
                    "attempts": open_row.c.attempts + is_again.cast(open_row.c.attempts.type),
                    "last_run_id": new.last_run_id,
                },
            ),
            bad[start : start + _PORTION],
        )
