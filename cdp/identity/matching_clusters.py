"""From pairs to clusters, and how well either fits the truth.

A cluster is a connected component of the pairs at or above a threshold. Its id is the hash of its least record id, so that
it can be derived again from the same records, in whatever order they came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cdp.identity.components import component_numbers
from cdp.identity.matching import CLEAN, PAIRS

if TYPE_CHECKING:
    import duckdb
    import numpy as np

CLUSTERS = "matching_cluster"


@dataclass(frozen=True)
class Fit:
    """Pairs that were put together against the pairs that belong together. A ratio without a denominator is None."""

    true_pairs: int
    predicted_pairs: int
    correct_pairs: int

    def as_dict(self) -> dict[str, Any]:
        """Counts and ratios, for JSON."""
        found, true, correct = self.predicted_pairs, self.true_pairs, self.correct_pairs
        return {
            "true_pairs": true,
            "predicted_pairs": found,
            "correct_pairs": correct,
            "precision": round(correct / found, 6) if found else None,
            "recall": round(correct / true, 6) if true else None,
            "f1": round(2 * correct / (found + true), 6) if found + true else None,
        }


@dataclass(frozen=True)
class Graph:
    """Records numbered in the order of their ids, the pairs between them, and each record's truth (-1: unknown)."""

    size: int
    left: np.ndarray
    right: np.ndarray
    probability: np.ndarray
    truth: np.ndarray | None


def read_graph(con: duckdb.DuckDBPyConnection, truth: str | None = None) -> Graph:
    """The scored pairs as arrays; `truth` is SQL over a table `matching_truth` (record_id, truth) when it is known."""
    import numpy as np

    con.execute(
        f"create or replace temp table matching_number as select record_id, "
        f"(row_number() over (order by record_id) - 1)::bigint as number from {CLEAN}"
    )
    size = int(con.execute(f"select count(*) from {CLEAN}").fetchall()[0][0])
    pairs = con.execute(
        f"select l.number as l, r.number as r, p.probability from {PAIRS} as p join matching_number as l on p.record_id_l = l.record_id "
        "join matching_number as r on p.record_id_r = r.record_id order by 1, 2"
    ).fetchnumpy()
    known = None
    if truth:
        rows = con.execute(
            f"select coalesce(dense_rank() over (order by t.truth) * (t.truth is not null)::bigint, 0) - 1 as truth "
            f"from matching_number as n left join {truth} as t on n.record_id = t.record_id order by n.number"
        ).fetchnumpy()
        known = np.asarray(rows["truth"], dtype=np.int64)
    left, right, probability = (np.asarray(pairs[name]) for name in ("l", "r", "probability"))
    return Graph(size, left, right, probability, known)


def labels_at(graph: Graph, threshold: float) -> np.ndarray:
    """The cluster number of each record at a threshold."""
    chosen = graph.probability >= threshold
    return component_numbers(graph.left[chosen], graph.right[chosen], graph.size)


def write_clusters(con: duckdb.DuckDBPyConnection, labels: np.ndarray) -> None:
    """Makes the table `matching_cluster`: one row is one record (record_id, cluster_id, record_count of the cluster)."""
    import pyarrow as pa

    con.register("matching_label", pa.table({"label": labels, "number": range(len(labels))}))
    con.execute(
        f"create or replace temp table {CLUSTERS} as select n.record_id, "
        "'c_' || md5(min(n.record_id) over (partition by l.label)) as cluster_id, count(*) over (partition by l.label) as record_count "
        "from matching_number as n join matching_label as l on n.number = l.number order by n.record_id"
    )
    con.unregister("matching_label")


def at_thresholds(graph: Graph, thresholds: list[float]) -> list[dict[str, Any]]:
    """For each threshold: pairs, clusters, the largest one, and with a truth the fit of pairs and of clusters.

    Pairs are those scored above it; clusters count all pairs within them, also those that no single comparison supports.
    Records whose truth is unknown are left out of the fits.
    """
    import numpy as np

    found = []
    for threshold in sorted(set(thresholds)):
        labels = labels_at(graph, threshold)
        sizes = np.bincount(labels, minlength=1)
        entry: dict[str, Any] = {
            "at": threshold,
            "pairs": int((graph.probability >= threshold).sum()),
            "clusters_of_several": int((sizes > 1).sum()),
            "records_in_them": int(sizes[sizes > 1].sum()),
            "largest_cluster": int(sizes.max(initial=0)),
        }
        if graph.truth is not None:
            entry["pair_fit"] = _pair_fit(graph, graph.truth, threshold).as_dict()
            entry["cluster_fit"] = _cluster_fit(graph.truth, labels).as_dict()
        found.append(entry)
    return found


def _pair_fit(graph: Graph, truth: np.ndarray, threshold: float) -> Fit:
    chosen = graph.probability >= threshold
    left, right = truth[graph.left[chosen]], truth[graph.right[chosen]]
    known = (left >= 0) & (right >= 0)
    return Fit(_pairs_within(truth[truth >= 0]), int(known.sum()), int((known & (left == right)).sum()))


def _cluster_fit(truth: np.ndarray, labels: np.ndarray) -> Fit:
    known = truth >= 0
    both = labels[known].astype("int64") * (int(truth.max(initial=0)) + 1) + truth[known]
    return Fit(_pairs_within(truth[known]), _pairs_within(labels[known]), _pairs_within(both))


def _pairs_within(groups: np.ndarray) -> int:
    import numpy as np

    counts = np.unique(groups, return_counts=True)[1].astype("int64")
    return int((counts * (counts - 1) // 2).sum())
