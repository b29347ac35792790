"""Connected components: the SQL macro against a union-find, and against graphs with published answers."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from cdp.settings import get_settings
from tests.identity.components import Edge, labelled, partition, united

# LDBC Graphalytics' validation graphs (https://ldbcouncil.org/benchmarks/graphalytics/), https://arxiv.org/pdf/2011.15028
LDBC = get_settings().absolute(get_settings().shared_data) / "graph_cc" / "ldbc"


def check(edges: list[Edge], threads: int = 2) -> None:
    """Compare the two ways: the same components, each named by its least node."""
    assert labelled(edges, threads=threads) == united(edges)


@pytest.mark.parametrize("number", range(12))
def test_random_graphs(number: int) -> None:
    """From dust to one lump: the ratio of edges to nodes goes through the threshold at which components grow together."""
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    nodes = rng.choice([5, 40, 400, 3000])
    count = int(nodes * rng.choice([0.3, 0.5, 0.7, 1.2]))
    names = [rng.randrange(2**63) for _ in range(nodes)]  # keys are 63-bit hashes
    edges = [(u, v) for u, v in ((rng.choice(names), rng.choice(names)) for _ in range(count)) if u != v]
    edges += rng.choices(edges, k=len(edges) // 3) if edges else []  # repeats
    edges += [(v, u) for u, v in edges[: len(edges) // 4]]  # and the other way round
    rng.shuffle(edges)
    check(edges, threads=rng.choice([1, 2, 4]))


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled", "bits reversed", "steps of 2^40"])
def test_chain_of_10_000_nodes(order: str) -> None:
    """The worst case for whoever spreads labels step by step. Whoever sends identifiers can sort them by their hash first."""
    seed = 20260101
    print("seed", seed)
    names = list(range(10_000))
    if order == "descending":
        names.reverse()
    elif order == "shuffled":
        names = [random.Random(seed + n).randrange(2**63) for n in names]
    elif order == "bits reversed":
        names = [int(f"{n:062b}"[::-1], 2) for n in names]
    elif order == "steps of 2^40":
        names = [n << 40 for n in names]
    check(list(itertools.pairwise(names)))


def test_star_and_two_stars_joined_at_the_rim() -> None:
    spokes = 10_000
    check([(spokes, leaf) for leaf in range(spokes)])
    left = [(0, leaf) for leaf in range(1, spokes)]
    right = [(10 * spokes, 10 * spokes + leaf) for leaf in range(1, spokes)]
    assert len(partition(labelled(left + right))) == 2
    assert len(partition(labelled([*left, *right, (spokes - 1, 10 * spokes + 1)]))) == 1


def test_an_edge_that_is_there_many_times_is_an_edge() -> None:
    assert labelled([(1, 2)] * 256 + [(3, 4)] * 512) == {1: 1, 2: 1, 3: 3, 4: 3}


def test_no_edges() -> None:
    assert labelled([]) == {}


def pairs(path: Path) -> list[list[int]]:
    """Whitespace-separated numbers, line by line (weights cut off)."""
    return [[int(float(word)) for word in line.split()] for line in path.read_text().splitlines() if line.strip()]


@pytest.mark.skipif(not LDBC.is_dir(), reason=f"LDBC's graphs are not there: {LDBC} (set CDP_SHARED_DATA)")
@pytest.mark.parametrize("graph", ["dir", "undir", "example-directed", "example-undirected"])
def test_published_answers(graph: str) -> None:
    """Weak components: directions do not count."""
    if graph.startswith("example"):
        edges = [(row[0], row[1]) for row in pairs(LDBC / "example" / f"{graph}.e")]
        answer = pairs(LDBC / "example" / f"{graph}-WCC")
    else:
        edges = [(row[0], other) for row in pairs(LDBC / "wcc" / f"{graph}-input") for other in row[1:]]
        answer = pairs(LDBC / "wcc" / f"{graph}-output")
    found = labelled(edges)
    assert partition(found) == partition({node: label for node, label in answer if node in found})
    assert {node for node, _ in answer} == found.keys(), "these graphs have no node without an edge"
