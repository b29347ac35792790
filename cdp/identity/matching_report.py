"""What a matching run leaves behind: clusters, pairs, the trained parameters, and a report with a picture of the scores."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdp.errors import CdpError
from cdp.identity.matching import PAIRS, Matched
from cdp.identity.matching_clusters import CLUSTERS, Graph
from cdp.identity.matching_model import MatchingModel

if TYPE_CHECKING:
    import duckdb

FILES = ("clusters.parquet", "pairs.parquet", "parameters.json", "report.json", "scores.png")


def write_tables(con: duckdb.DuckDBPyConnection, out: Path) -> None:
    """clusters.parquet and pairs.parquet, the same bytes for the same rows: in order, by one thread, groups of one size."""
    threads = int(con.execute("select current_setting('threads')").fetchall()[0][0])
    con.execute("set threads = 1")
    for table, order, name in ((CLUSTERS, "record_id", FILES[0]), (PAIRS, "record_id_l, record_id_r", FILES[1])):
        target = str(out / name).replace("'", "''")
        con.execute(
            f"copy (select * from {table} order by {order}) to '{target}' (format parquet, compression zstd, row_group_size 122880)"
        )
    con.execute(f"set threads = {threads}")


def parameters(model: MatchingModel, matched: Matched) -> dict[str, Any]:
    """The trained parameters, as `match` takes them again."""
    return {"model": model.name, "prior": matched.prior, "comparisons": matched.parameters}


def read_parameters(path: Path, model: MatchingModel) -> dict[str, Any]:
    """Parameters of an earlier training. Raises CdpError when they do not fit the model."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        labels = {label: len(levels) for label, levels in found["comparisons"].items()}
        found["prior"] = float(found["prior"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CdpError("cannot be read", where=str(path), expected="the parameters.json of an earlier run") from None
    wanted = [c.label for c in model.comparisons]
    if list(labels) != wanted:
        raise CdpError(
            f"holds the comparisons {', '.join(labels)}", where=str(path), expected=", ".join(wanted), fix="train again"
        )
    return dict(found)


def histogram(graph: Graph, con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Pairs by match weight, in steps of one bit; with a truth, how many of them belong together."""
    import numpy as np

    weights = con.execute(
        f"select p.match_weight from {PAIRS} as p order by p.record_id_l, p.record_id_r"
    ).fetchnumpy()["match_weight"]
    bins = np.floor(np.asarray(weights, dtype=float)).astype("int64")
    same = None
    if graph.truth is not None:
        left, right = graph.truth[graph.left], graph.truth[graph.right]
        same = (left == right) & (left >= 0)
    found = []
    for weight in range(int(bins.min(initial=0)), int(bins.max(initial=0)) + 1) if len(bins) else []:
        entry = {"from_weight": weight, "pairs": int((bins == weight).sum())}
        if same is not None:
            entry["same"] = int((same & (bins == weight)).sum())
        found.append(entry)
    return found


def report(
    model: MatchingModel,
    matched: Matched,
    graph: Graph,
    con: duckdb.DuckDBPyConnection,
    thresholds: list[dict[str, Any]],
) -> dict[str, Any]:
    """Everything about the run that holds no value of a record."""
    return {
        "model": model.name,
        "accept": model.accept,
        "records": matched.records,
        "scored_pairs": len(graph.left),
        "blocks": [asdict(block) for block in matched.blocks],
        "prior": matched.prior,
        "comparisons": matched.parameters,
        "warnings": matched.warnings,
        "match_weights": histogram(graph, con),
        "thresholds": thresholds,
    }


def write_report(found: dict[str, Any], learnt: dict[str, Any], out: Path) -> None:
    """report.json, parameters.json and scores.png."""
    for name, document in (("report.json", found), ("parameters.json", learnt)):
        (out / name).write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (out / "scores.png").write_bytes(draw(found))


def draw(found: dict[str, Any]) -> bytes:
    """Pairs by match weight with the threshold; with a truth, precision and recall of clusters beside it. PNG."""
    import io
    from math import log2

    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    bars = found["match_weights"]
    fits = [(t["at"], t["cluster_fit"]) for t in found["thresholds"] if "cluster_fit" in t]
    figure = Figure(figsize=(10 if fits else 6, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots(1, 2 if fits else 1, squeeze=False)[0]
    weights, pairs = [b["from_weight"] + 0.5 for b in bars], [b["pairs"] for b in bars]
    axes[0].bar(weights, pairs, width=0.9, color="#b5652b" if fits else "#3b6ea5", label="different" if fits else None)
    if fits:
        axes[0].bar(weights, [b["same"] for b in bars], width=0.9, color="#3b6ea5", label="same")
    axes[0].axvline(log2(found["accept"] / (1 - found["accept"])), color="black", linestyle="--", label="accept")
    axes[0].set_xlabel("match weight (bits)")
    axes[0].set_ylabel("pairs")
    axes[0].set_yscale("symlog")
    axes[0].legend()
    if fits:
        for key in ("precision", "recall", "f1"):
            axes[1].plot([str(at) for at, _ in fits], [fit[key] for _, fit in fits], marker="o", label=key)
        axes[1].set_xlabel("threshold (probability)")
        axes[1].set_title("clusters against the truth", fontsize=10)
        axes[1].legend()
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()
