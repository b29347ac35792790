"""Rows as files: the same rows give the same bytes.

CSV: columns in name order, `\\n` ends lines, UTF-8 without BOM, quotes after RFC 4180, null and empty text are both an
empty field, lists are joined with `;`. Parquet: typed columns, zstd.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reverse_etl.destination import Row
from reverse_etl.destination_spec import FieldType

if TYPE_CHECKING:
    import pyarrow as pa

OPERATION = "operation"


def operation_of(row: Row) -> str:
    """What a reader shall do with a row of a file of changes."""
    return "delete" if row.operation == "delete" else "upsert"


def csv_bytes(rows: Sequence[Row], columns: Sequence[str], *, with_operation: bool) -> bytes:
    """A CSV file with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*([OPERATION] if with_operation else []), *columns])
    for row in rows:
        values = [_written(row.payload.get(column)) for column in columns]
        writer.writerow([*([operation_of(row)] if with_operation else []), *values])
    return text.getvalue().encode()


def parquet_bytes(rows: Sequence[Row], columns: dict[str, FieldType], *, with_operation: bool) -> bytes:
    """A Parquet file whose columns have the fields' types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[FieldType, Any] = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "datetime": pa.timestamp("us", tz="UTC"),
        "list": pa.list_(pa.string()),
    }
    arrays: dict[str, pa.Array] = {}
    if with_operation:
        arrays[OPERATION] = pa.array([operation_of(row) for row in rows], pa.string())
    for name, kind in columns.items():
        # Times are texts in a payload; Arrow reads them for all rows at once.
        is_time = kind in ("date", "datetime")
        values = pa.array([row.payload.get(name) for row in rows], pa.string() if is_time else types[kind])
        arrays[name] = values.cast(types[kind]) if is_time else values
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays), sink, compression="zstd")
    return sink.getvalue()


def _written(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list():
            return ";".join(str(item) for item in value)
        case _:
            return str(value)
