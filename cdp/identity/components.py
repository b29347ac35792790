"""Connected components of a graph: which nodes hang together by edges, in whatever order they came.

Called from SQL as `cdp_components(edges)` on one list of all edges; see dbt_project/macros/identity/connected_components.sql.
scipy walks the graph in linear time. What is left is to number the keys, which costs more than the walk unless it stays in the
processor's cache, and to name each component. A graph of a run that computes a part is small: it is done before scipy is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import numpy as np

_KEY = pa.int64()
FEW_EDGES = 200_000
"""From here on scipy is sooner done, its import of 0.4 s included."""
NODES = pa.list_(pa.struct([("node_key", _KEY), ("component_key", _KEY)]))
SQL_ARGUMENTS = ["STRUCT(left_key BIGINT, right_key BIGINT)[]"]
SQL_RESULT = "STRUCT(node_key BIGINT, component_key BIGINT)[]"


def component_numbers(left: np.ndarray, right: np.ndarray, size: int) -> np.ndarray:
    """The number of each node's component; nodes are 0 to `size` - 1, and edge i ties `left[i]` and `right[i]`."""
    import numpy as np
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    # truth values, because repeats are added up: 256 of them in a byte of a number would be no edge
    matrix = coo_matrix((np.ones(len(left), dtype=bool), (left, right)), shape=(size, size))
    return np.asarray(connected_components(matrix, directed=False)[1])


def components_arrow(edges: pa.Array) -> pa.Array:
    """A column of lists of edges as lists of nodes, each with the least key of its component. One element is one graph."""
    if isinstance(edges, pa.ChunkedArray):
        edges = edges.combine_chunks()
    return pa.array([], NODES) if len(edges) == 0 else pa.concat_arrays([_components(graph.values) for graph in edges])


def _components(edges: pa.StructArray) -> pa.ListArray:
    if len(edges) < FEW_EDGES:
        found = least_of_few(edges.field("left_key").to_pylist(), edges.field("right_key").to_pylist())
        return _list(pa.array(found.keys(), _KEY), pa.array(found.values(), _KEY))
    import numpy as np

    left, right, keys = _numbered(edges.field("left_key").to_numpy(), edges.field("right_key").to_numpy())
    numbers = component_numbers(left, right, len(keys))
    least = np.full(numbers.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, numbers, keys)
    return _list(pa.array(keys), pa.array(least[numbers]))


def least_of_few(left: list[int], right: list[int]) -> dict[int, int]:
    """Each node with the least key of its component, by a union-find whose roots are the least keys."""
    parent: dict[int, int] = {}

    def root(key: int) -> int:
        up = parent.setdefault(key, key)
        while up != key:
            parent[key] = key = parent[up]
            up = parent[key]
        return key

    for one, other in zip(left, right, strict=True):
        one, other = root(one), root(other)
        if one < other:
            parent[other] = one
        else:
            parent[one] = other
    return {key: root(key) for key in parent}


def _list(keys: pa.Array, least: pa.Array) -> pa.ListArray:
    nodes = pa.StructArray.from_arrays([keys, least], fields=list(NODES.value_type))
    return pa.ListArray.from_arrays(pa.array([0, len(nodes)], pa.int32()), nodes)


def _numbered(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both sides with numbers from 0 in place of keys, and the key of each number.

    A hash table of millions of keys misses the cache at each look: 3.4 s for 7.5 million keys. So keys are first put into
    256 parts by their highest bits (keys are hashes, so the parts are even), and each part has a small table: 0.6 s.
    """
    import numpy as np

    orders, parts = [], []
    for side in (left, right):
        part = (side >> 55).astype(np.uint8)
        order = np.argsort(part, kind="stable")  # of bytes: counted, not compared
        ends = np.cumsum(np.bincount(part, minlength=256))
        orders.append(order)
        parts.append(np.split(side[order], ends[:-1]))
    numbers: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    keys: list[np.ndarray] = []
    known = 0
    for lefts, rights in zip(*parts, strict=True):
        named = pa.array(np.concatenate([lefts, rights])).dictionary_encode()
        found = named.indices.to_numpy() + np.int32(known)
        numbers[0].append(found[: len(lefts)])
        numbers[1].append(found[len(lefts) :])
        keys.append(named.dictionary.to_numpy())
        known += len(keys[-1])
    sides = []
    for order, found_parts in zip(orders, numbers, strict=True):
        side = np.empty(len(order), dtype=np.int32)
        side[order] = np.concatenate(found_parts)
        sides.append(side)
    return sides[0], sides[1], np.concatenate(keys)
