"""The acknowledged state: a base in parts, and the batches since. Read set-based by DuckDB; folded when it pays.

`known` (view) has one row a key that the destination holds or may hold: key, digest of what is acknowledged, batch (null:
nothing is acknowledged), position (where its payload is in the base; null: in `settled`), in_doubt, doubtful_payload.
`held_payload(key, payload, person)` (made on demand, for chosen rows) has what was acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.exc import DatabaseError

from reverse_etl import ledger_batches
from reverse_etl import ledger_codec as codec
from reverse_etl.ledger_open import damaged
from reverse_etl.ledger_tables import batch, control, run, state_part

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_PART_ROWS = 131_072
# Batches are folded into the base when they hold so many rows, and so large a share of it: each row is then written
# again a bounded number of times, whatever its table's size.
_FOLD_ROWS = 50_000
_FOLD_SHARE = 0.2

# What the state asks of a row's outcome, as numbers.
_STATUS = {"succeeded": 1, "in_doubt": 2}

_KNOWN = """
create or replace temp table settled as
select
  key, max(number) as batch, arg_max(effect, number) as effect, arg_max(payload, number) as payload,
  arg_max(digest, number) as digest, arg_max(person, number) as person
from journal_rows
where status = 1 and effect <> 'none' and is_folded = 0
group by key;
create or replace temp table doubtful as
select journal_rows.key, arg_max(journal_rows.payload, journal_rows.number) as payload
from journal_rows left join settled on settled.key = journal_rows.key
where journal_rows.status = 2 and (settled.batch is null or settled.batch < journal_rows.number)
group by journal_rows.key;
create or replace temp view held as
select key, digest, batch, position from base_index
where not exists (select 1 from settled where settled.key = base_index.key)
union all
select key, digest, batch, null from settled where effect = 'set';
create or replace temp view known as
select
  coalesce(held.key, doubtful.key) as key, held.digest, held.batch, held.position,
  doubtful.key is not null as in_doubt, doubtful.payload as doubtful_payload
from held full outer join doubtful on doubtful.key = held.key;
"""


@dataclass(frozen=True)
class Doubt:
    """A batch of which it is not known whether all of it arrived; `rows` are those in doubt."""

    number: int
    idempotency_key: str
    all_rows: pa.Table
    rows: pa.Table
    intended_at: datetime


class LedgerState:
    """Mixed into Ledger, which opens the engine."""

    _engine: Engine
    _reader: Engine

    def load_known(self, con: duckdb.DuckDBPyConnection, sync: str) -> None:
        """Make the view `known` on a DuckDB connection. Raises ConfigurationError when the ledger is damaged."""
        import pyarrow as pa

        try:
            with self._reader.connect() as ledger:
                base = self._base_index(ledger, sync)
                journal = self._journal(ledger, sync)
        except (DatabaseError, pa.ArrowInvalid, OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(f"state of {sync}", str(error).splitlines()[0]) from None
        con.register("base_index", base)
        con.register("journal_rows", journal)
        con.execute(_KNOWN)

    def load_payloads(self, con: duckdb.DuckDBPyConnection, sync: str, chosen: str) -> None:
        """Make the view `held_payload` on the connection that has `known`, for the rows of the relation `chosen`.

        Rows are taken by their position in the base, part by part, so what it holds in memory grows with what has changed.
        Raises ConfigurationError when the ledger is damaged.
        """
        import pyarrow as pa

        wanted = con.sql(
            f"select position, key from {chosen} where position is not null order by position"
        ).to_arrow_table()
        positions, mine = codec.numbers(wanted["position"]), state_part.c.sync == sync
        sizes = select(state_part.c.part, state_part.c.row_count).where(mine).order_by(state_part.c.part)
        query = select(state_part.c.part, state_part.c.payloads, state_part.c.payloads_checksum).where(mine)
        parts, start, begin = [], 0, 0
        try:
            with self._reader.connect() as ledger:
                for each in ledger.execute(sizes).all():
                    end = int(positions.searchsorted(start + each.row_count))
                    if end > begin:
                        found = ledger.execute(query.where(state_part.c.part == each.part)).one()
                        rows = codec.unpack_part(found.payloads, found.payloads_checksum, found.part)
                        parts.append(rows.take(codec.column_of(positions[begin:end] - start)))
                    start, begin = start + each.row_count, end
        except (DatabaseError, pa.ArrowInvalid, OSError, ValueError) as error:
            raise damaged(f"state of {sync}", str(error).splitlines()[0]) from None
        payloads = pa.concat_tables(parts) if parts else _empty(("payload", "person"))
        con.register("base_payload", payloads.append_column("key", wanted["key"]))
        con.execute(
            """
            create or replace temp view held_payload as
            select key, payload, person from base_payload
            union all
            select key, payload, person from settled where effect = 'set'
            """
        )

    def supersede(self, con: duckdb.DuckDBPyConnection, sync: str) -> dict[int, dict[str, str]]:
        """Doubts that a later success has decided: number of the batch -> key -> reason. For Ledger.decide."""
        rows = con.execute(
            """
            select journal_rows.number, journal_rows.key, settled.batch
            from journal_rows inner join settled on settled.key = journal_rows.key and settled.batch > journal_rows.number
            where journal_rows.status = 2
            order by 1, 2
            """
        ).fetchall()
        found: dict[int, dict[str, str]] = {}
        for number, key, later in rows:
            found.setdefault(int(number), {})[key] = f"batch {later} succeeded"
        return found

    def doubtful_batches(self, sync: str) -> list[Doubt]:
        """Batches with rows in doubt, oldest first."""
        import pyarrow.compute as pc

        with self._reader.connect() as ledger:
            found = ledger.execute(
                select(batch).where(batch.c.sync == sync, batch.c.status == "in_doubt").order_by(batch.c.number)
            ).all()
            several = []
            for each, table in ledger_batches.read(ledger, sync, found):
                rows = codec.with_outcomes(table.slice(each.start, each.row_count), each.outcomes)
                doubtful = rows.filter(pc.equal(rows["status"], "in_doubt"))
                several.append(Doubt(int(each.number), each.idempotency_key, rows, doubtful, each.intended_at))
        return several

    def fold(self, sync: str, *, always: bool = False) -> bool:
        """Fold settled batches into the base when there are many, and drop those whose outcomes are logged."""
        import duckdb

        with self._engine.begin() as ledger:
            folded = control_of(ledger, sync)
            found = ledger.execute(
                select(func.max(batch.c.number).label("through"), func.sum(batch.c.row_count).label("waiting")).where(
                    batch.c.sync == sync, batch.c.number > folded.folded_through
                )
            ).one()
            through, waiting = int(found.through or 0), int(found.waiting or 0)
            if not waiting or not (always or waiting > max(_FOLD_ROWS, _FOLD_SHARE * folded.folded_rows)):
                return False
            with duckdb.connect() as con:
                con.register("base_index", self._base_index(ledger, sync))
                con.register("journal_rows", self._journal(ledger, sync))
                con.execute(_KNOWN)
                self.load_payloads(con, sync, "held")
                rows = con.sql(
                    """
                    select held.key, held.digest, held.batch, held_payload.payload, held_payload.person
                    from held inner join held_payload on held_payload.key = held.key
                    order by held.key
                    """
                ).to_arrow_table()
            ledger.execute(state_part.delete().where(state_part.c.sync == sync))
            for part, start in enumerate(range(0, rows.num_rows, _PART_ROWS)):
                piece = rows.slice(start, _PART_ROWS)
                entries, entries_checksum = codec.pack_part(piece.select(["key", "digest", "batch"]))
                payloads, payloads_checksum = codec.pack_part(piece.select(["payload", "person"]))
                ledger.execute(
                    insert(state_part).values(
                        sync=sync,
                        part=part,
                        row_count=piece.num_rows,
                        entries=entries,
                        entries_checksum=entries_checksum,
                        payloads=payloads,
                        payloads_checksum=payloads_checksum,
                    )
                )
            ledger.execute(
                update(control).where(control.c.sync == sync).values(folded_through=through, folded_rows=rows.num_rows)
            )
            logged = select(run.c.run_id).where(run.c.sync == sync, run.c.is_logged)
            ledger.execute(
                batch.delete().where(
                    batch.c.sync == sync,
                    batch.c.number <= through,
                    batch.c.status == "settled",
                    batch.c.run_id.in_(logged),
                )
            )
            ledger_batches.drop_unused(ledger, sync, through)
        return True

    @staticmethod
    def _base_index(ledger: Connection, sync: str) -> pa.Table:
        import numpy as np
        import pyarrow as pa

        columns = (state_part.c.part, state_part.c.entries, state_part.c.entries_checksum)
        query = select(*columns).where(state_part.c.sync == sync).order_by(state_part.c.part)
        tables = [codec.unpack_part(row.entries, row.entries_checksum, row.part) for row in ledger.execute(query)]
        if not tables:
            tables.append(_empty(("key", "digest", "batch")))
        index = pa.concat_tables(tables)
        return index.append_column("position", codec.column_of(np.arange(index.num_rows)))

    @staticmethod
    def _journal(ledger: Connection, sync: str) -> pa.Table:
        """Rows of the batches since the base, and of older ones that are in doubt, with number and status of their batch."""
        import numpy as np
        import pyarrow as pa

        columns = ("key", "effect", "payload", "digest", "person")
        folded = ledger.scalar(select(control.c.folded_through).where(control.c.sync == sync)) or 0
        found = ledger.execute(
            select(*ledger_batches.PLACE, batch.c.outcomes)
            .where(batch.c.sync == sync, or_(batch.c.number > folded, batch.c.status != "settled"))
            .order_by(batch.c.number)
        ).all()
        # Neighbours that are packed together stay together: table, start, end.
        spans: list[tuple[pa.Table, int, int]] = []
        status: list[np.ndarray] = []
        for each, table in ledger_batches.read(ledger, sync, found):
            start, end = each.start, each.start + each.row_count
            if spans and spans[-1][0] is table and spans[-1][2] == start:
                start = spans.pop()[1]
            spans.append((table, start, end))
            others, single = codec.unpack_outcomes(each.outcomes)
            status.append(np.full(each.row_count, _STATUS.get(others.status, 0), np.int8))
            for position, outcome in single.items():
                status[-1][position] = _STATUS.get(outcome.status, 0)
        number = np.repeat([each.number for each in found], [each.row_count for each in found]).astype(np.int64)
        tables = [table.slice(start, end - start).select(columns) for table, start, end in spans]
        journal = pa.concat_tables([_empty(columns), *tables])
        journal = journal.append_column("status", codec.column_of(np.concatenate([np.empty(0, np.int8), *status])))
        journal = journal.append_column("number", codec.column_of(number))
        return journal.append_column("is_folded", codec.column_of((number <= folded).astype(np.int8)))


def control_of(ledger: Connection, sync: str) -> Row[Any]:
    """The control row of a sync, made when it is missing."""
    found = ledger.execute(select(control).where(control.c.sync == sync)).one_or_none()
    if found is None:
        ledger.execute(insert(control).values(sync=sync))
        found = ledger.execute(select(control).where(control.c.sync == sync)).one()
    return found


def _empty(columns: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    kinds = {"digest": pa.uint64(), "batch": pa.int64()}
    return pa.table({name: pa.nulls(0, kinds.get(name, pa.string())) for name in columns})
