"""Finds features that know the outcome: one that separates alone almost as well as the truth, or whose name says so.

Each feature is judged alone: rates of its values (twenty quantiles of a number) are taken from one half of the rows and
tried on the other, so that a column of ids does not look like knowledge.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cdp.declarations import Declaration

QUANTILES = 20
# a value seen only now and then is drawn towards the overall rate by so many rows
PRIOR_ROWS = 20
# words of columns that people or systems fill in when they know how it ended
TELLING = re.compile(
    r"\b(tags?|status|stage|outcome|result|reason|quality|disposition|closed|won|lost|converted|churn(ed)?"
    r"|cancel(led|lation)?|last (notable )?activity)\b"
)


class Warned(Declaration):
    """One feature that may know the outcome."""

    feature: str
    auc: float | None
    why: str


def leakage(
    rows: pa.Table, label: NDArray[np.int64], groups: NDArray[np.int64], features: tuple[str, ...], limit: float
) -> tuple[Warned, ...]:
    """Features with an AUC of their own of `limit` or more, best first."""
    found = [(alone(rows[f], label, groups), f) for f in features]
    return tuple(
        Warned(
            feature=f,
            auc=round(auc, 4),
            why=f"alone it separates with an AUC of {auc:.3f}: is it filled in after the outcome?",
        )
        for auc, f in sorted(found, key=lambda x: (-x[0], x[1]))
        if auc >= limit
    )


def telling_names(columns: list[str]) -> tuple[Warned, ...]:
    """Columns whose names sound like something that is filled in after the outcome."""
    return tuple(
        Warned(feature=c, auc=None, why="its name sounds like something that is filled in after the outcome")
        for c in columns
        if TELLING.search(re.sub(r"[_\W]+", " ", c).lower())
    )


def alone(values: pa.ChunkedArray, label: NDArray[np.int64], groups: NDArray[np.int64]) -> float:
    """AUC (at least 0.5) of a feature by itself; `groups` keep one person's rows in one half."""
    from sklearn.metrics import roc_auc_score

    codes = _codes(values)
    half = groups % 2 == 0
    score = np.zeros(len(label))
    for learn, rest in ((half, ~half), (~half, half)):
        if not learn.any() or not rest.any():
            return 0.5
        overall = label[learn].mean()
        size = int(codes.max()) + 1
        seen = np.bincount(codes[learn], minlength=size)
        hits = np.bincount(codes[learn], weights=label[learn], minlength=size)
        rate = (hits + PRIOR_ROWS * overall) / (seen + PRIOR_ROWS)
        score[rest] = rate[codes[rest]]
    if label.min() == label.max():
        return 0.5
    return max(0.5, float(roc_auc_score(label, score)))


def _codes(values: pa.ChunkedArray) -> NDArray[np.int64]:
    """Each row's value as a small number; missing has its own."""
    if pa.types.is_string(values.type):
        encoded = values.combine_chunks().dictionary_encode()
        return np.asarray(encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)).astype(
            np.int64
        )
    numbers = np.array(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    if not known.size:
        return np.zeros(len(numbers), dtype=np.int64)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, QUANTILES + 1)[1:-1]))
    return np.where(np.isfinite(numbers), np.searchsorted(edges, numbers), len(edges) + 1).astype(np.int64)
