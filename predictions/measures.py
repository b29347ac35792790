"""How good probabilities are: AUC with its error, average precision, Brier score, calibration and lift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cdp.declarations import Declaration

BINS = 10
# Dagster and people read these: six digits say more than the data do
DIGITS = 6


class Bin(Declaration):
    """A tenth of the rows by predicted probability, highest first."""

    rows: int
    predicted: float = Field(description="Mean probability.")
    observed: float = Field(description="Share that was positive.")
    lift: float | None = Field(description="Observed share over the share of all rows, this tenth and those above it.")


class Measures(Declaration):
    """Measures of one set of rows; None where there is only one class."""

    rows: int
    positives: int
    base_rate: float | None
    auc: float | None = Field(description="Area under the ROC curve; 0.5 is chance.")
    auc_error: float | None = Field(description="Standard error of the AUC (Hanley and McNeil 1982).")
    average_precision: float | None = Field(description="Area under precision and recall; the base rate is chance.")
    brier: float | None = Field(description="Mean squared error of the probability; smaller is better.")
    brier_of_base_rate: float | None = Field(description="The same for a model that always says the base rate.")
    calibration_gap: float | None = Field(description="Mean distance of predicted and observed over the bins.")
    bins: tuple[Bin, ...]


def measure(label: NDArray[np.int64], probability: NDArray[np.float64]) -> Measures:
    """Measures of `probability` against `label` (0, 1), rows in an order that does not depend on chance."""
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    rows, positives = len(label), int(label.sum())
    rate = positives / rows if rows else None
    bins = _bins(label, probability)
    if rate is None or not 0 < positives < rows:
        return Measures(
            rows=rows, positives=positives, base_rate=rate, auc=None, auc_error=None, average_precision=None,
            brier=None, brier_of_base_rate=None, calibration_gap=None, bins=bins,
        )  # fmt: skip
    auc = float(roc_auc_score(label, probability))
    return Measures(
        rows=rows,
        positives=positives,
        base_rate=_rounded(rate),
        auc=_rounded(auc),
        auc_error=_rounded(_auc_error(auc, positives, rows - positives)),
        average_precision=_rounded(float(average_precision_score(label, probability))),
        brier=_rounded(float(brier_score_loss(label, probability))),
        brier_of_base_rate=_rounded(rate * (1 - rate)),
        calibration_gap=_rounded(sum(b.rows * abs(b.predicted - b.observed) for b in bins) / rows),
        bins=bins,
    )


def _bins(label: NDArray[np.int64], probability: NDArray[np.float64]) -> tuple[Bin, ...]:
    order = np.argsort(-probability, kind="stable")
    overall = label.mean() if len(label) else 0.0
    found, seen, hits = [], 0, 0
    for part in np.array_split(order, BINS):
        if not part.size:
            continue
        seen, hits = seen + part.size, hits + int(label[part].sum())
        found.append(
            Bin(
                rows=int(part.size),
                predicted=_rounded(float(probability[part].mean())),
                observed=_rounded(float(label[part].mean())),
                lift=_rounded(hits / seen / overall) if overall else None,
            )
        )
    return tuple(found)


def _auc_error(auc: float, positives: int, negatives: int) -> float:
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    spread = auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)
    return float(np.sqrt(spread / (positives * negatives)))


def _rounded(value: float) -> float:
    return round(value, DIGITS)
