"""How the ledger packs rows: those of batches and parts of the state as Arrow streams, outcomes as a short JSON text."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reverse_etl.destination import Outcome, Result

if TYPE_CHECKING:
    import pyarrow as pa

# Columns of packed rows, text but for `digest` (a number, of the values that the payload was made of). `effect`: what success
# does to the state (set, unset, none); `wire`: the payload as it is sent, where that differs; `into`: of a merge, the payload
# of the object that stays.
BATCH_COLUMNS = ("key", "operation", "effect", "payload", "digest", "wire", "into", "person", "consent_record")

_NO_ANSWER = Outcome("in_doubt", "the run ended before the outcome was known", "no_answer")


def pack(rows: pa.Table) -> bytes:
    """Rows of batches, without columns that have no value."""
    pairs = zip(rows.column_names, rows.columns, strict=True)
    kept = [name for name, column in pairs if column.null_count < rows.num_rows]
    # In one piece: it may have been put together out of many, each of which would be packed for itself.
    return _written(rows.select(kept).combine_chunks())


def unpack(content: bytes) -> pa.Table:
    """Packed rows, with all of BATCH_COLUMNS. Raises pyarrow.ArrowInvalid when the bytes are none."""
    import pyarrow as pa

    rows = _read(content)
    for name in set(BATCH_COLUMNS) - set(rows.column_names):
        rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.uint64() if name == "digest" else pa.string()))
    return rows.select(BATCH_COLUMNS)


def numbers(column: pa.ChunkedArray) -> Any:
    """A column of whole numbers without nulls as a numpy array, straight from its buffer.

    pyarrow's own conversions between its arrays and Python's import pandas, which takes longer than a plan of a small sync.
    """
    import numpy as np

    pieces = [np.frombuffer(c.buffers()[1], c.type.to_pandas_dtype())[c.offset :][: len(c)] for c in column.chunks]
    return np.concatenate(pieces) if pieces else np.empty(0, np.int64)


def column_of(values: Any) -> pa.Array:
    """A numpy array of whole numbers as a column, see `numbers`."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def pack_part(rows: pa.Table) -> tuple[bytes, int]:
    """A part of the state, and its checksum."""
    content = _written(rows)
    return content, zlib.crc32(content)


def unpack_part(content: bytes, checksum: int, number: int) -> pa.Table:
    """A part of the state. Raises ValueError when it is not what was written."""
    if zlib.crc32(content) != checksum:
        raise ValueError(f"part {number} of the state has another checksum than was written")
    return _read(content)


def pack_outcomes(keys: Sequence[str], result: Result) -> tuple[str, bool]:
    """Outcomes of a batch by position, the most frequent said once; and whether any row is in doubt."""
    if not result.rows and result.others is not None:
        return json.dumps({"others": _as_list(result.others)}, ensure_ascii=False), result.others.status == "in_doubt"
    told: dict[tuple[str, str, str, str], list[int]] = {}
    for position, key in enumerate(keys):
        outcome = result.outcome(key)
        told.setdefault((outcome.status, outcome.reason, outcome.code, outcome.request_id), []).append(position)
    others = max(told, key=lambda each: len(told[each])) if told else ("succeeded", "", "", "")
    rows = {str(position): list(each) for each, positions in told.items() if each != others for position in positions}
    in_doubt = any(each[0] == "in_doubt" for each in told)
    return json.dumps({"others": list(others), "rows": rows}, ensure_ascii=False), in_doubt


def unpack_outcomes(text: str | None) -> tuple[Outcome, Mapping[int, Outcome]]:
    """The usual outcome of a batch, and those of single rows by position. No text: nothing is known."""
    if text is None:
        return _NO_ANSWER, {}
    told: dict[str, Any] = json.loads(text)
    rows = {int(position): Outcome(*each) for position, each in told.get("rows", {}).items()}
    return Outcome(*told["others"]), rows


def with_outcomes(rows: pa.Table, text: str | None) -> pa.Table:
    """A batch's rows with the columns status, reason, code, request_id."""
    import pyarrow as pa

    others, single = unpack_outcomes(text)
    for name in ("status", "reason", "code", "request_id"):
        values = [getattr(others, name)] * rows.num_rows
        for position, outcome in single.items():
            values[position] = getattr(outcome, name)
        rows = rows.append_column(name, pa.array(values, pa.string()))
    return rows


def _written(rows: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    # In this thread: the senders have the others, and to wait for one takes longer than the packing.
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.ipc.new_stream(sink, rows.schema, options=options) as stream:
        stream.write_table(rows)
    return sink.getvalue().to_pybytes()


def _read(content: bytes) -> pa.Table:
    import pyarrow as pa

    with pa.ipc.open_stream(content) as stream:
        return stream.read_all()


def _as_list(outcome: Outcome) -> list[str]:
    return [outcome.status, outcome.reason, outcome.code, outcome.request_id]
