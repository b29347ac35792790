"""Cuts a plan's rows into batches: never more rows or bytes than the destination takes, groups never torn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from reverse_etl.catalog import ResolvedSync

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
    phases, kinds = operations["phase"].to_numpy(), operations["kind"].to_numpy()
    starts = [0, *(int(at) + 1 for at in (phases[1:] != phases[:-1]).nonzero()[0]), total] if total else [0]
    for begin, end in pairwise(starts):
        for start, stop in _cut(operations, begin, end, limits.rows, limits.bytes, bool(limits.group_by)):
            found = kinds[start:stop]
            operation = operations["operation"][start].as_py() if found.min() == found.max() else ""
            yield Portion(start, stop - start, int(phases[begin]), operation)


def idempotency_key(sync: str, number: int, content: bytes) -> str:
    """Of a batch that is sent for the first time. The number makes it another one when the same rows are wanted again."""
    return hashlib.sha256(f"{sync}\0{number}\0".encode() + content).hexdigest()


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
        weights = np.concatenate(([0], np.cumsum(operations["size"].to_numpy()[begin:end])))[edges - begin]
    start, last = 0, len(edges) - 1
    while start < last:
        stop = min(start + most, last)
        if weights is not None:
            # One unit goes also when it is too heavy alone: the destination shall say so.
            fits = int(weights.searchsorted(weights[start] + most_bytes, side="right")) - 1
            stop = min(stop, max(start + 1, fits))
        yield int(edges[start]), int(edges[stop])
        start = stop
