"""Plots of a report: is the probability right (calibration), and what is gained by starting at the top (lift)."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from predictions.artifact import Report


def plots(report: Report) -> dict[str, bytes]:
    """PNG by name; empty where nothing was held out."""
    measures = report.held_out
    if measures is None or measures.auc is None:
        return {}
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    found = {}
    for name in ("calibration", "lift"):
        figure = Figure(figsize=(5, 3), layout="constrained")
        axes = figure.subplots()
        if name == "calibration":
            top = max([b.predicted for b in measures.bins] + [b.observed for b in measures.bins]) or 1.0
            axes.plot([0, top], [0, top], color="#999999", linewidth=1)
            axes.plot([b.predicted for b in measures.bins], [b.observed for b in measures.bins], "o-", color="#3b6ea5")
            axes.set_xlabel("predicted")
            axes.set_ylabel("observed")
        else:
            axes.bar(
                range(10, 10 * len(measures.bins) + 1, 10),
                [b.lift or 0 for b in measures.bins],
                width=8,
                color="#5a9e6f",
            )
            axes.axhline(1, color="#999999", linewidth=1)
            axes.set_xlabel("most likely % of rows")
            axes.set_ylabel("lift")
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=90, metadata={"Software": None})
        found[name] = picture.getvalue()
    return found


def as_markdown(report: Report) -> dict[str, str]:
    """Name -> Markdown with the picture inside, for the metadata of assets."""
    return {n: f"![{n}](data:image/png;base64,{base64.b64encode(p).decode()})" for n, p in plots(report).items()}


def write_plots(report: Report, folder: Path) -> None:
    """Write `<name>.png` beside a model."""
    for name, picture in plots(report).items():
        (folder / f"{name}.png").write_bytes(picture)
