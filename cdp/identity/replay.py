"""The definition of a person, run on the components that break a rule: union-find over edges in order, refusing some.

Called from SQL as `cdp_replay_edges(edges, limits, pairs)`, one call for many components; see dbt_project/models/identity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

NEVER = None
Edge = tuple[int, int, int]  # left key, right key, tier; 0 is an override, which no limit holds back
Limit = tuple[int, int, int]  # identifier key, class that it counts in, most of the class in one person
Refusal = tuple[
    int, int, int | None
]  # left key, right key, class whose limit refused the edge (None: a forbidden pair)


def replay(
    edges: Iterable[Edge], limits: Iterable[Limit], pairs: Iterable[tuple[int, int]]
) -> tuple[dict[int, int], list[Refusal]]:
    """(identifier -> least identifier of its person, refused edges in their order). `edges` in their order, each pair once.

    An edge is refused when it would bring a forbidden pair together; or, unless its tier is 0, when both sides hold values of
    one class and together more than the class may have.
    """
    parent: dict[int, int] = {}
    size: dict[int, int] = {}
    counts: dict[int, dict[int, int]] = {}
    most: dict[int, int] = {}
    enemies: dict[int, set[int]] = defaultdict(set)  # root -> keys that may not join it

    def root(key: int) -> int:
        if key not in parent:
            parent[key], size[key] = key, 1
            return key
        while parent[key] != key:
            parent[key] = key = parent[parent[key]]
        return key

    for key, limit_class, maximum in limits:
        counts[key] = {limit_class: 1}
        most[limit_class] = maximum
    for left, right in pairs:
        enemies[left].add(right)
        enemies[right].add(left)
    refused: list[Refusal] = []
    for left, right, tier in edges:
        large, small = root(left), root(right)
        if large == small:
            continue
        if size[large] < size[small]:
            large, small = small, large
        if enemies and _forbidden(enemies, large, small, root):
            refused.append((left, right, NEVER))
            continue
        held, added = counts.get(large), counts.get(small)
        if tier and held and added:
            over = [c for c, n in added.items() if c in held and held[c] + n > most[c]]
            if over:
                refused.append((left, right, min(over)))
                continue
        parent[small] = large
        size[large] += size[small]
        if added:
            into = counts.setdefault(large, {})
            for limit_class, number in added.items():
                into[limit_class] = into.get(limit_class, 0) + number
        if small in enemies:
            enemies[large] |= enemies.pop(small)
    tops = {key: root(key) for key in sorted(parent)}
    least: dict[int, int] = {}
    for key, top in tops.items():
        least.setdefault(top, key)  # in order, so the first one is the least
    return {key: least[top] for key, top in tops.items()}, refused


def _forbidden(enemies: dict[int, set[int]], large: int, small: int, root: Any) -> bool:
    """Whether one side holds a key that may not meet the other."""
    one, other = enemies.get(large), enemies.get(small)
    if not one or not other:
        return False  # both ends of a pair know of it
    few, top = (one, small) if len(one) < len(other) else (other, large)
    return any(root(key) == top for key in few)


def replay_arrow(edges: pa.Array, limits: pa.Array, pairs: pa.Array) -> pa.Array:
    """`replay` over columns of lists of structs; one element is one component."""
    columns = [
        _rows(edges, ("left_key", "right_key", "tier")),
        _rows(limits, ("identifier_key", "limit_class", "most")),
        _rows(pairs, ("left_key", "right_key")),
    ]
    persons: list[tuple[int, int]] = []
    refused: list[Refusal] = []
    ends: list[tuple[int, int]] = [(0, 0)]
    for one_edges, one_limits, one_pairs in zip(*columns, strict=True):
        found, held_back = replay(one_edges, one_limits, one_pairs)
        persons += found.items()
        refused += held_back
        ends.append((len(persons), len(refused)))
    lists = [
        _lists(persons, [end[0] for end in ends], OUTCOME["persons"].type),
        _lists(refused, [end[1] for end in ends], OUTCOME["refused"].type),
    ]
    return pa.StructArray.from_arrays(lists, fields=list(OUTCOME))


def _lists(rows: Sequence[tuple[Any, ...]], ends: list[int], type_: pa.ListType) -> pa.ListArray:
    """Rows as a column of lists of structs; one list reaches from one of the ends to the next."""
    fields = list(type_.value_type)
    columns = zip(*rows, strict=True) if rows else [[] for _ in fields]
    values = [pa.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.StructArray.from_arrays(values, fields=fields))


def _rows(column: pa.Array, fields: Sequence[str]) -> list[list[Any]]:
    """A column of lists of structs as lists of tuples; without the detour over one dictionary per struct."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    flat = column.flatten()
    values = list(zip(*(flat.field(name).to_pylist() for name in fields), strict=True))
    ends, start, rows = pa.compute.list_value_length(column).to_pylist(), 0, []
    for length in ends:
        rows.append(values[start : start + (length or 0)])
        start += length or 0
    return rows


_KEY = pa.int64()
OUTCOME = pa.struct(
    [
        ("persons", pa.list_(pa.struct([("identifier_key", _KEY), ("person_key", _KEY)]))),
        ("refused", pa.list_(pa.struct([("left_key", _KEY), ("right_key", _KEY), ("limit_class", _KEY)]))),
    ]
)
SQL_ARGUMENTS = (
    "STRUCT(left_key BIGINT, right_key BIGINT, tier SMALLINT)[]",
    "STRUCT(identifier_key BIGINT, limit_class BIGINT, most BIGINT)[]",
    "STRUCT(left_key BIGINT, right_key BIGINT)[]",
)
SQL_RESULT = (
    "STRUCT(persons STRUCT(identifier_key BIGINT, person_key BIGINT)[],"
    " refused STRUCT(left_key BIGINT, right_key BIGINT, limit_class BIGINT)[])"
)
