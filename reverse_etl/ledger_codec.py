"""How the ledger packs rows: a batch as an Arrow stream, state as Parquet, outcomes as a short JSON text."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reverse_etl.destination import Outcome, Result

if TYPE_CHECKING:
    import pyarrow as pa

# Columns of a packed batch, all text. `effect`: what success does to the state (set, unset, none); `wire`: the payload as
# it is sent, where that differs; `into`: of a merge, the payload of the object that stays.
BATCH_COLUMNS = ("key", "operation", "effect", "payload", "payload_hash", "wire", "into", "person", "consent_record")

_NO_ANSWER = Outcome("in_doubt", "the run ended before the outcome was known", "no_answer")


def pack(rows: pa.Table) -> bytes:
    """A batch's rows."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, rows.schema, options=options) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue())


def unpack(content: bytes) -> pa.Table:
    """A batch's rows. Raises pyarrow.ArrowInvalid when the bytes are none."""
    import pyarrow as pa

    with pa.ipc.open_stream(content) as stream:
        return stream.read_all()


def pack_parquet(rows: pa.Table) -> bytes:
    """A part of the state."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd", compression_level=1, write_statistics=False)
    return sink.getvalue()


def unpack_parquet(content: bytes) -> pa.Table:
    """A part of the state."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(content))


def checksum(*contents: bytes) -> int:
    """Of a part of the state, to tell a damaged one."""
    found = 0
    for content in contents:
        found = zlib.crc32(content, found)
    return found


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


def _as_list(outcome: Outcome) -> list[str]:
    return [outcome.status, outcome.reason, outcome.code, outcome.request_id]
