"""Fits a model with scikit-learn and takes what it learnt out as plain data. Seeded, one thread: the same bytes each time.

Calibration uses scores of rows that the model did not see: it is fitted five times without a fifth of the persons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdp.errors import RunError
from predictions.declaration import Learner
from predictions.encoding import Matrix
from predictions.learned import LEAF, Boosted, Isotonic, Linear, Sigmoid, Tree

FOLDS = 5
# Boosting stops before it knows the noise: small trees, small steps. One fit on 25,000 rows and 33 columns takes 1 s.
STEPS, STEP_SIZE, LEAVES, ROWS_A_LEAF, L2 = 100, 0.08, 12, 25, 1.0


@dataclass(frozen=True)
class Fitted:
    """A model with its calibration; `unseen` is each training row's calibrated probability by a model that did not see it."""

    learned: Boosted | Linear
    calibration: Sigmoid | Isotonic
    unseen: NDArray[np.float64]


def fit(model: Learner, matrix: Matrix, label: NDArray[np.int64], groups: NDArray[np.int64]) -> Fitted:
    """Learn `label` (0, 1; shape rows) from `matrix` (rows, columns). `groups`: rows of one person stay on one side."""
    # a limit holds for the libraries that are loaded when it is set
    import sklearn.ensemble
    import sklearn.linear_model  # noqa: F401
    from threadpoolctl import threadpool_limits

    # With several threads sums run in another order, and so do the last digits of a model. And two threads that wait for
    # each other on a busy machine took 30 times as long as one.
    with threadpool_limits(limits=1):
        unseen = _unseen(model, matrix, label, groups)
        calibration = _calibrate(model.calibration, unseen, label)
        estimator = _estimator(model).fit(matrix, label)
        learned = _taken_out(estimator, matrix)
    return Fitted(learned, calibration, calibration.probability(unseen))


def _estimator(model: Learner) -> Any:
    if model.algorithm == "logistic":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=1.0, max_iter=2000, random_state=model.seed)
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=STEPS,
        learning_rate=STEP_SIZE,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=ROWS_A_LEAF,
        l2_regularization=L2,
        early_stopping=False,
        random_state=model.seed,
    )


def _unseen(model: Learner, matrix: Matrix, label: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    from sklearn.model_selection import StratifiedGroupKFold

    scores = np.zeros(len(label))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=model.seed)
    for learn, rest in folds.split(matrix, label, groups):
        scores[rest] = _estimator(model).fit(matrix[learn], label[learn]).decision_function(matrix[rest])
    return scores


def _calibrate(kind: str, scores: NDArray[np.float64], label: NDArray[np.int64]) -> Sigmoid | Isotonic:
    if kind == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        line = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, label)
        return Isotonic(
            kind="isotonic",
            scores=tuple(float(x) for x in line.X_thresholds_),
            probabilities=tuple(float(y) for y in line.y_thresholds_),
        )
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=1e6, max_iter=1000).fit(scores.reshape(-1, 1), label)
    return Sigmoid(kind="sigmoid", slope=float(line.coef_[0, 0]), offset=float(line.intercept_[0]))


def _taken_out(estimator: Any, matrix: Matrix) -> Boosted | Linear:
    """What was learnt, as data; it must say on the training rows what scikit-learn says. Raises RunError otherwise."""
    learned: Boosted | Linear
    if hasattr(estimator, "coef_"):
        weights = tuple(float(w) for w in estimator.coef_[0])
        means = tuple(float(m) for m in matrix.mean(axis=0))
        learned = Linear(kind="logistic", intercept=float(estimator.intercept_[0]), weights=weights, means=means)
    else:
        trees = tuple(_tree(step[0].nodes) for step in estimator._predictors)
        learned = Boosted(
            kind="gradient_boosting", baseline=float(estimator._baseline_prediction.ravel()[0]), trees=trees
        )
    intercept, parts = learned.parts(matrix)
    # trees have no public form in scikit-learn: this comparison is what notices when a version changes it
    apart = float(np.abs(intercept + parts.sum(axis=1) - estimator.decision_function(matrix)).max())
    if apart > 1e-6:
        raise RunError(
            f"the stored model differs from the fitted one by {apart:g}",
            where="predictions/fitting.py",
            expected="the same score for every training row",
            fix="this version of scikit-learn stores trees in another way: pin the version in requirements/runtime.in",
        )
    return learned


def _tree(nodes: Any) -> Tree:
    is_leaf = nodes["is_leaf"].astype(bool)
    left = np.where(is_leaf, LEAF, nodes["left"].astype(np.int64))
    right = np.where(is_leaf, LEAF, nodes["right"].astype(np.int64))
    count = nodes["count"].astype(np.float64)
    value = nodes["value"].astype(np.float64)
    for node in range(len(nodes) - 1, -1, -1):  # children follow their parent
        if not is_leaf[node]:
            below = [left[node], right[node]]
            value[node] = (value[below] * count[below]).sum() / count[below].sum()
    # a split of missing against the rest has the threshold infinity: JSON has none, the largest number does the same
    threshold = np.where(is_leaf, 0.0, np.clip(nodes["num_threshold"].astype(np.float64), -1.7e308, 1.7e308))
    return Tree(
        feature=tuple(int(f) for f in np.where(is_leaf, 0, nodes["feature_idx"])),
        threshold=tuple(float(t) for t in threshold),
        missing_left=tuple(bool(m) for m in nodes["missing_go_to_left"]),
        left=tuple(int(n) for n in left),
        right=tuple(int(n) for n in right),
        value=tuple(float(v) for v in value),
    )
