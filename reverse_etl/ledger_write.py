"""The statements of one step of a delivery. Each works on all batches of a step at once: statements cost more than rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.engine import Connection

from cdp.errors import CdpError
from reverse_etl import ledger_batches
from reverse_etl import ledger_codec as codec
from reverse_etl.destination import Outcome, Result
from reverse_etl.ledger_rows import Intended, Message, Settled
from reverse_etl.ledger_tables import batch, message, open_row

# Most parameters of one statement; SQLite and Postgres take more.
_PORTION = 500
_CERTAINLY_NOT = ("failed", "rejected")


class LedgerError(CdpError):
    """The ledger cannot be written; what was sent meanwhile is in doubt and settled by the next run."""

    exit_code = 3


def intend(con: Connection, sync: str, run_id: str, several: Sequence[Intended], at: datetime) -> None:
    """Write down batches that will be sent."""
    if several:
        places = ledger_batches.write(con, sync, several)
        same = {"sync": sync, "run_id": run_id, "status": "intended", "intended_at": at}
        keys = ({"idempotency_key": each.idempotency_key} for each in several)
        con.execute(insert(batch), [{**same, **key, **place} for key, place in zip(keys, places, strict=True)])


def keep_back(con: Connection, sync: str, run_id: str, several: Sequence[Settled], at: datetime) -> None:
    """Write down rows that are decided without being sent."""
    if several:
        places = ledger_batches.write(con, sync, [each.batch for each in several])
        same = {"sync": sync, "run_id": run_id, "status": "settled", "intended_at": at, "settled_at": at}
        texts = ({"outcomes": codec.pack_outcomes(_keys(each), each.result)[0]} for each in several)
        con.execute(insert(batch), [{**same, **text, **place} for text, place in zip(texts, places, strict=True)])
        note_open_rows(con, sync, run_id, several)


def settle(con: Connection, sync: str, run_id: str, several: Sequence[Settled], at: datetime) -> None:
    """Write down what became of batches. Raises LedgerError when one of them is not open any more."""
    if not several:
        return
    # Batches with the same outcome, which nearly all have, are one statement.
    told: dict[tuple[str, bool], list[int]] = {}
    one_for_all: dict[Outcome, list[int]] = {}
    for each in several:
        others = each.result.others
        if each.result.rows or others is None:
            told.setdefault(codec.pack_outcomes(_keys(each), each.result), []).append(each.batch.number)
        else:
            one_for_all.setdefault(others, []).append(each.batch.number)
    for outcome, numbers in one_for_all.items():
        told.setdefault(codec.pack_outcomes([], Result(others=outcome)), []).extend(numbers)
    for (text, in_doubt), numbers in told.items():
        news = {"status": "in_doubt" if in_doubt else "settled", "outcomes": text, "settled_at": at}
        is_open = (batch.c.sync == sync) & (batch.c.number.in_(bindparam("numbers"))) & (batch.c.status == "intended")
        if con.execute(update(batch).where(is_open).values(news), {"numbers": numbers}).rowcount != len(numbers):
            raise LedgerError(
                f"a batch from {min(numbers)} to {max(numbers)} of {sync} is not open any more",
                expected="one run of a sync at a time on this ledger",
                fix="find the other run: two machines with the same SQLite file, or one restored from a backup",
            )
    note_open_rows(con, sync, run_id, several)
    for each in several:
        _forget_messages(con, sync, each)


def note_messages(con: Connection, sync: str, messages: Mapping[int, Sequence[Message]]) -> None:
    """Write down the messages that batches carry, by number of the batch."""
    rows = [
        {"sync": sync, "key": m.key, "batch": number, "person": m.person, "channel": m.channel, "sent_at": m.sent_at}
        for number, several in messages.items()
        for m in several
    ]
    if rows:
        con.execute(insert(message), rows)


def note_open_rows(con: Connection, sync: str, run_id: str, several: Iterable[Settled]) -> None:
    """Note rows that are not as they should be, and forget those that are. In bulk: a bad day has many."""
    # One look instead of a delete for each of the rows that succeeded, which are nearly all.
    has_open = con.execute(select(open_row.c.key).where(open_row.c.sync == sync).limit(1)).first() is not None
    bad: list[dict[str, Any]] = []
    good: list[str] = []
    for each in several:
        others = each.result.others
        if not each.result.rows and others is not None and others.status == "succeeded":
            good += each.batch.rows["key"].to_pylist() if has_open else []
            continue
        keys, operations = each.batch.rows["key"].to_pylist(), each.batch.rows["operation"].to_pylist()
        for key, operation in zip(keys, operations, strict=True):
            outcome = each.result.outcome(key)
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
    if has_open:
        for part in _portions(good):
            con.execute(open_row.delete().where(open_row.c.sync == sync, open_row.c.key.in_(part)))
    if bad:
        con.execute(_open_again(con), bad)


def _open_again(con: Connection) -> Any:
    """Add an open row, or count one more attempt."""
    # Each brings all its drivers along, and most runs have no open row.
    if con.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_or
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_or  # type: ignore[assignment]
    statement = insert_or(open_row)
    new = statement.excluded
    is_again = open_row.c.last_run_id != new.last_run_id
    return statement.on_conflict_do_update(
        index_elements=["sync", "key"],
        set_={
            "operation": new.operation,
            "status": new.status,
            "code": new.code,
            "reason": new.reason,
            "attempts": open_row.c.attempts + is_again.cast(open_row.c.attempts.type),
            "last_run_id": new.last_run_id,
        },
    )


def _forget_messages(con: Connection, sync: str, each: Settled) -> None:
    """A message that was certainly not sent does not count against its person's cap."""
    others = each.result.others
    if not each.result.rows and others is not None and others.status not in _CERTAINLY_NOT:
        return
    mine = (message.c.sync == sync) & (message.c.batch == each.batch.number)
    keys = each.batch.rows["key"].to_pylist()
    for part in _portions([key for key in keys if each.result.outcome(key).status in _CERTAINLY_NOT]):
        con.execute(message.delete().where(mine, message.c.key.in_(part)))


def _keys(each: Settled) -> list[str]:
    """Keys, where outcomes differ by row."""
    one_for_all = not each.result.rows and each.result.others is not None
    return [] if one_for_all else [str(key) for key in each.batch.rows["key"].to_pylist()]


def _portions(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(keys), _PORTION):
        yield keys[start : start + _PORTION]
