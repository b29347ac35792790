"""Connected components of a graph: which nodes hang together by edges, in whatever order they came.

Called from SQL as `cdp_components(edges)` on one list of all edges; see dbt_project/macros/identity/connected_components.sql.
Whole columns at a time (numpy), in rounds whose number grows with the logarithm of the nodes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

_KEY = pa.int64()
NODES = pa.list_(pa.struct([("node_key", _KEY), ("component_key", _KEY)]))
SQL_ARGUMENTS = ["STRUCT(left_key BIGINT, right_key BIGINT)[]"]
SQL_RESULT = "STRUCT(node_key BIGINT, component_key BIGINT)[]"
PARTS = 256
THREADS = 2
"""One for each side of the edges: while DuckDB waits for the answer, its own threads are idle."""


def component_numbers(left: np.ndarray, right: np.ndarray, size: int) -> np.ndarray:
    """The least node of each node's component; nodes are 0 to `size` - 1, and edge i ties `left[i]` and `right[i]`.

    Each node that has a lower one beside it is hooked below the lowest of them, paths are shortened to their roots by pointer jumping, and
    edges between roots remain for the next round: the way of Shiloach and Vishkin (An O(log n) parallel connectivity algorithm, 1982).
    Two rounds leave at most half of a component's roots: one that hooks is a root no more; one that does not has taken another in, or stands
    beside one that hooked below a lower root, and hooks there in the round after.
    """
    parent = np.arange(size, dtype=np.int32)
    while len(left):
        low, high = np.minimum(left, right), np.maximum(left, right)
        np.minimum.at(parent, high, low)
        # in order, unless few hooked
        _shorten(parent, high if len(high) < size // 4 else slice(None))
        left, right = parent.take(left), parent.take(right)
        open_ = np.flatnonzero(left != right)
        left, right = left.take(open_), right.take(open_)
    _shorten(parent, slice(None))
    return parent


def _shorten(parent: np.ndarray, nodes: np.ndarray | slice) -> None:
    """Let each of the nodes point to its root."""
    found = parent[nodes]
    while not np.array_equal(further := parent.take(found), found):
        parent[nodes] = found = further


def components_arrow(edges: pa.Array) -> pa.Array:
    """A column of lists of edges as lists of nodes, each with the least key of its component. One element is one graph."""
    if isinstance(edges, pa.ChunkedArray):
        edges = edges.combine_chunks()
    return pa.array([], NODES) if len(edges) == 0 else pa.concat_arrays([_components(graph.values) for graph in edges])


def _components(edges: pa.StructArray) -> pa.ListArray:
    left, right, keys = _numbered(edges.field("left_key").to_numpy(), edges.field("right_key").to_numpy())
    numbers = component_numbers(left, right, len(keys))
    least = np.full(len(keys), np.iinfo(np.int64).max)
    np.minimum.at(least, numbers, keys)
    nodes = pa.StructArray.from_arrays([pa.array(keys), pa.array(least.take(numbers))], fields=list(NODES.value_type))
    return pa.ListArray.from_arrays(pa.array([0, len(nodes)], pa.int32()), nodes)


def _numbered(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both sides with numbers from 0 in place of keys, and the key of each number.

    A hash table of millions of keys misses the cache at each look: 3.4 s for 7.5 million keys. So keys are first put into
    256 parts by their highest bits (keys are hashes, so the parts are even), and each part has a small table: 0.7 s.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        (left_order, lefts), (right_order, rights) = pool.map(_parted, (left, right))
        named = list(pool.map(_named, lefts, rights))
        firsts = np.cumsum([0, *(len(keys) for _, _, keys in named)])
        both = ([part[0] for part in named], [part[1] for part in named])
        left, right = pool.map(_in_place, (left_order, right_order), both, (firsts, firsts))
    return left, right, np.concatenate([keys for _, _, keys in named])


def _parted(keys: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The order by part, and the keys of each part."""
    part = (keys >> 55).astype(np.uint8)
    order = np.argsort(part, kind="stable")  # of bytes: counted, not compared
    return order, np.split(keys.take(order), np.cumsum(np.bincount(part, minlength=PARTS))[:-1])


def _named(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One part: both sides with numbers from 0, and the key of each number."""
    found = pa.array(np.concatenate([left, right])).dictionary_encode()
    numbers = found.indices.to_numpy()
    return numbers[: len(left)], numbers[len(left) :], found.dictionary.to_numpy()


def _in_place(order: np.ndarray, parts: list[np.ndarray], firsts: np.ndarray) -> np.ndarray:
    """The numbers of all parts in the order of the edges; `firsts`: the number that each part begins with."""
    side = np.empty(len(order), dtype=np.int32)
    side[order] = np.concatenate([part + np.int32(first) for part, first in zip(parts, firsts, strict=False)])
    return side
