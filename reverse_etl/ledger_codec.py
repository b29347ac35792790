"""How the ledger packs rows: batches and parts of the state as Arrow streams, outcomes as a short JSON text."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reverse_etl.destination import Outcome, Result

if TYPE_CHECKING:
    import pyarrow as pa

# Columns of a packed batch, all text. `effect`: what success does to the state (set, unset, none); `wire`: the payload as
# it is sent, where that differs; `into`: of a merge, the payload of the object that stays.
BATCH_COLUMNS = ("key", "operation", "effect", "payload", "wire", "into", "person", "consent_record")

_NO_ANSWER = Outcome("in_doubt", "the run ended before the outcome was known", "no_answer")


def pack(rows: pa.Table, operation: str = "") -> bytes:
    """A batch's rows, without columns that have no value. All columns as they are would take three times as long.

    `operation`: the one of all rows, where there is one. It and its effect are then said once.
    """
    said = {"operation": operation, "effect": rows["effect"][0].as_py()} if operation and rows.num_rows else {}
    pairs = zip(rows.column_names, rows.columns, strict=True)
    kept = [name for name, column in pairs if name not in said and column.null_count < rows.num_rows]
    return _written(rows.select(kept).replace_schema_metadata(said))


def unpack(content: bytes) -> pa.Table:
    """A batch's rows, with all of BATCH_COLUMNS. Raises pyarrow.ArrowInvalid when the bytes are none."""
    import pyarrow as pa

    rows = _read(content)
    said = {name.decode(): value.decode() for name, value in (rows.schema.metadata or {}).items()}
    columns = {}
    for name in BATCH_COLUMNS:
        if name in said:
            columns[name] = pa.array([said[name]] * rows.num_rows, pa.string())
        elif name in rows.column_names:
            columns[name] = rows[name]
        else:
            columns[name] = pa.nulls(rows.num_rows, pa.string())
    return pa.table(columns)


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


def statuses(text: str | None, row_count: int) -> list[str]:
    """What became of each row of a batch, in one word."""
    others, single = unpack_outcomes(text)
    found: list[str] = [others.status] * row_count
    for position, outcome in single.items():
        found[position] = outcome.status
    return found


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
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_table(rows)
    return sink.getvalue().to_pybytes()


def _read(content: bytes) -> pa.Table:
    import pyarrow as pa

    with pa.ipc.open_stream(content) as stream:
        return stream.read_all()


def _as_list(outcome: Outcome) -> list[str]:
    return [outcome.status, outcome.reason, outcome.code, outcome.request_id]
