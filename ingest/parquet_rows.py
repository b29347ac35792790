"""Parquet as relations that `ingest.typing.type_rows` takes, some rows at a time so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.json_rows import MAX_COLUMNS
from ingest.pieces import Unreadable, is_of_the_machine, reason_of
from ingest.typing import Field, Relation, literal, quoted
from ingest.values import landed_type

ROWS = 50_000
RELATION = "parquet_rows"


def parquet_relations(con: duckdb.DuckDBPyConnection, path: Path, origin: str) -> Iterator[Relation]:
    """The rows of one file, `ROWS` at a time; each relation holds until the next.

    Raises Unreadable when the file, or a part of it, cannot be read; what came before has been given out by then.
    """
    done = 0
    try:
        with pq.ParquetFile(path) as file:
            if len(file.schema_arrow.names) > MAX_COLUMNS:
                raise Unreadable(f"has {len(file.schema_arrow.names)} columns; at most {MAX_COLUMNS} are landed")
            for batch in file.iter_batches(batch_size=ROWS):
                if batch.num_rows:
                    yield _relation(con, batch, origin, done)
                done += batch.num_rows
    except OSError as error:
        if is_of_the_machine(error):
            raise
        raise Unreadable(reason_of(error) if error.errno else f"is damaged after row {done}") from None
    except (pa.ArrowException, duckdb.Error) as error:
        place = f" after row {done}" if done else ""
        raise Unreadable(f"cannot be read as Parquet{place}: {type(error).__name__}") from None


def _relation(con: duckdb.DuckDBPyConnection, batch: pa.RecordBatch, origin: str, done: int) -> Relation:
    names = batch.schema.names
    columns = [f"f{number}" for number in range(len(names))]
    con.register("parquet_batch", pa.RecordBatch.from_arrays(batch.columns, names=columns))
    try:
        kinds = [kind for _, kind, *_ in con.execute("describe parquet_batch").fetchall()]
        fields = [Field(n, c, landed_type(k)) for n, c, k in zip(names, columns, kinds, strict=True)]
        values = "".join(f", {_landed(f.column, kind)} as {f.column}" for f, kind in zip(fields, kinds, strict=True))
        con.execute(
            f"create or replace temp table {RELATION} as "
            f"select (row_number() over ()) - 1 as _row, (row_number() over ()) + {done} as _position{values} "
            "from parquet_batch"
        )
    finally:
        con.unregister("parquet_batch")
    pairs = ", ".join(f"{literal(f.name)}, {quoted(f.column)}" for f in fields)
    sql = (
        f"select _row, {literal(origin)} as _origin, _position, json_object({pairs})::varchar as _original, "
        f"null::varchar as _header{''.join(f', {c}' for c in columns)} from {RELATION}"
    )
    return Relation(sql, fields, batch.num_rows)


def _landed(column: str, kind: str) -> str:
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION", "VARIANT")):
        return f"to_json({column})::varchar"
    return f"{column}::{landed_type(kind)}"
