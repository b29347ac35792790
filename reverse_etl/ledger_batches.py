"""Rows of batches: packed together where their batches are written down together, and read content by content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection, Row

from reverse_etl import ledger_codec as codec
from reverse_etl.ledger_open import damaged
from reverse_etl.ledger_rows import Intended
from reverse_etl.ledger_tables import batch, content

if TYPE_CHECKING:
    import pyarrow as pa

# What says where the rows of a batch are.
PLACE = (batch.c.number, batch.c.packed, batch.c.start, batch.c.row_count)


def write(con: Connection, sync: str, several: Sequence[Intended]) -> list[dict[str, Any]]:
    """Write the rows of some batches; where those of each are."""
    import pyarrow as pa

    packed, start, places = several[0].number, 0, []
    for each in several:
        length = each.rows.num_rows
        places.append({"number": each.number, "packed": packed, "start": start, "row_count": length})
        start += length
    rows = codec.pack(pa.concat_tables([each.rows for each in several]).select(codec.BATCH_COLUMNS))
    con.execute(insert(content).values(sync=sync, number=packed, rows=rows))
    return places


def read(con: Connection, sync: str, found: Iterable[Row[Any]]) -> Iterator[tuple[Row[Any], pa.Table]]:
    """Batches, each with the table that its rows are `row_count` of, from `start` on; the same table for neighbours.

    `found` has the columns of PLACE, in the order of the numbers. Raises ConfigurationError where rows are missing.
    """
    number, table = None, None
    for each in found:
        if table is None or each.packed != number:
            number = each.packed
            rows = con.scalar(select(content.c.rows).where(content.c.sync == sync, content.c.number == number))
            if rows is None:
                raise damaged(f"batch {each.number} of {sync}", "its rows are missing")
            table = codec.unpack(rows)
        yield each, table


def rows_of(con: Connection, sync: str, each: Row[Any]) -> pa.Table:
    """Rows of one batch."""
    ((_, table),) = read(con, sync, [each])
    return table.slice(each.start, each.row_count)


def drop_unused(con: Connection, sync: str, through: int) -> None:
    """Drop rows up to a batch that no batch has any more."""
    used = select(batch.c.packed).where(batch.c.sync == sync)
    unused = (content.c.sync == sync) & (content.c.number <= through) & content.c.number.not_in(used)
    con.execute(content.delete().where(unused))
