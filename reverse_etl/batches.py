"""Cuts a plan's rows into batches: never more rows or bytes than the destination takes, groups never torn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from reverse_etl.catalog import ResolvedSync
from reverse_etl.destination import Row

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Portion:
    """Rows `start` to `start + length` of a plan's operations. Portions of a phase wait for those of the one before."""

    start: int
    length: int
    phase: int


def portions(operations: pa.Table, resolved: ResolvedSync) -> Iterator[Portion]:
    """The batches of a delivery, in order."""
    total, limits = operations.num_rows, resolved.object.batch
    if resolved.object.delivery == "snapshot":
        if total:
            yield Portion(0, total, 0)
        return
    sizes = _sizes(operations) if limits.bytes else None
    phases = operations["phase"].to_numpy()
    starts = [0, *(int(at) + 1 for at in (phases[1:] != phases[:-1]).nonzero()[0]), total] if total else [0]
    for begin, end in pairwise(starts):
        for start, stop in _cut(operations, begin, end, limits.rows, limits.bytes, sizes, bool(limits.group_by)):
            yield Portion(start, stop - start, int(phases[begin]))


def rows_of(table: pa.Table) -> list[Row]:
    """A batch's rows as clients see them."""
    columns = [table[name].to_pylist() for name in ("key", "operation", "wire", "payload", "payload_hash", "into")]
    doubts = table["in_doubt"].to_pylist() if "in_doubt" in table.column_names else [False] * table.num_rows
    return [
        Row(key, operation, wire or payload, payload_hash, in_doubt, into or "")
        for key, operation, wire, payload, payload_hash, into, in_doubt in zip(*columns, doubts, strict=True)
    ]


def idempotency_key(sync: str, number: int, content: bytes) -> str:
    """Of a batch that is sent for the first time. The number makes it another one when the same rows are wanted again."""
    return hashlib.sha256(f"{sync}\0{number}\0".encode() + content).hexdigest()


def _cut(
    operations: pa.Table,
    begin: int,
    end: int,
    most: int,
    most_bytes: int | None,
    sizes: list[int] | None,
    grouped: bool,
) -> Iterator[tuple[int, int]]:
    if not grouped and sizes is None:
        for start in range(begin, end, most):
            yield start, min(start + most, end)
        return
    # Units are what may not be torn: groups, or single rows.
    units: list[tuple[int, int]] = []
    if grouped:
        at = begin
        for _, several in groupby(operations["group_key"].slice(begin, end - begin).to_pylist()):
            length = sum(1 for _ in several)
            units.append((at, at + length))
            at += length
    else:
        units = [(at, at + 1) for at in range(begin, end)]
    start, count, weight = begin, 0, 0
    for unit_start, unit_end in units:
        heavy = sum(sizes[unit_start:unit_end]) if sizes else 0
        if count and (count >= most or (most_bytes is not None and weight + heavy > most_bytes)):
            yield start, unit_start
            start, count, weight = unit_start, 0, 0
        count, weight = count + 1, weight + heavy
    if count:
        yield start, end


def _sizes(operations: pa.Table) -> list[int]:
    import pyarrow.compute as pc

    sent = pc.coalesce(operations["wire"], operations["payload"])
    # One more for the comma between two rows.
    return [int(size) + 1 for size in pc.binary_length(sent).to_pylist()]
