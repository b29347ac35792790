"""Cuts a plan's rows into batches: never more rows or bytes than the destination takes, groups never torn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from reverse_etl.catalog import ResolvedSync
from reverse_etl.ledger_codec import numbers

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Portion:
    """Rows `start` to `start + length` of a plan's operations. Portions of a phase wait for those of the one before.

    `operation`: the one of all its rows; empty where there are several.
    """

    start: int
    length: int
    phase: int
    operation: str = ""


def portions(operations: pa.Table, resolved: ResolvedSync) -> Iterator[Portion]:
    """The batches of a delivery, in order."""
    total, limits = operations.num_rows, resolved.object.batch
    if resolved.object.delivery == "snapshot":
        if total:
            yield Portion(0, total, 0)
        return
    phases, kinds = numbers(operations["phase"]), numbers(operations["kind"])
    starts = [0, *(int(at) + 1 for at in (phases[1:] != phases[:-1]).nonzero()[0]), total] if total else [0]
    # How often the operation has changed up to each row: as often at both ends of a batch that has only one.
    changes = [0, *(kinds[1:] != kinds[:-1]).cumsum().tolist()]
    names: dict[int, str] = {}
    for begin, end in pairwise(starts):
        phase = int(phases[begin]) if total else 0
        for start, stop in _cut(operations, begin, end, limits.rows, limits.bytes, bool(limits.group_by)):
            operation = ""
            if changes[start] == changes[stop - 1]:
                at = changes[start]
                operation = names[at] if at in names else names.setdefault(at, operations["operation"][start].as_py())
            yield Portion(start, stop - start, phase, operation)


def idempotency_key(sync: str, number: int, rows: pa.Table, operation: str) -> str:
    """Of a batch that is sent for the first time, by its rows' digests. The number makes it another one when the same rows
    are wanted again. `operation`: the one of all rows, where there is one."""
    told = operation or "\0".join(rows["operation"].to_pylist())
    # Less than OpenSSL gives the interpreter's lock away for: that costs more than the digest where many threads want it.
    return hashlib.sha256(f"{sync}\0{number}\0{told}\0".encode() + numbers(rows["digest"]).tobytes()).hexdigest()


def _cut(
    operations: pa.Table, begin: int, end: int, most: int, most_bytes: int | None, grouped: bool
) -> Iterator[tuple[int, int]]:
    """Cuts from `begin` to `end`, a step of Python for each batch and not for each row."""
    import numpy as np

    # Units are what may not be torn: groups, or single rows. `edges[n]` is the row where unit n begins, and the last `end`.
    if grouped:
        groups = operations["group_key"].slice(begin, end - begin).combine_chunks()
        codes = groups.dictionary_encode().indices.to_numpy()
        edges = np.concatenate(([0], (codes[1:] != codes[:-1]).nonzero()[0] + 1, [end - begin])) + begin
    else:
        edges = np.arange(begin, end + 1)
    # Bytes before each edge.
    weights = None
    if most_bytes is not None:
        weights = np.concatenate(([0], np.cumsum(numbers(operations["size"])[begin:end])))[edges - begin]
    start, last = 0, len(edges) - 1
    while start < last:
        stop = min(start + most, last)
        if weights is not None:
            # One unit goes also when it is too heavy alone: the destination shall say so.
            fits = int(weights.searchsorted(weights[start] + most_bytes, side="right")) - 1
            stop = min(stop, max(start + 1, fits))
        yield int(edges[start]), int(edges[stop])
        start = stop
