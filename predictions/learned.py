"""What a model has learnt, as plain data: scores and reasons need numpy only, and reading it runs no code.

The raw score is in log-odds: an intercept plus what each feature adds. Of a tree, a feature adds the change of the expected
value at each of its splits on the row's path (A. Saabas, "Interpreting random forests", 2014); of a linear model, weight times
distance from the mean. The parts add up to the score exactly.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cdp.declarations import Declaration
from predictions.encoding import Finite, Matrix

LEAF = -1


class Tree(Declaration):
    """One tree, nodes in an order in which children follow their parent; a leaf has `left` -1. `value` is the expected
    score at a node: of a leaf what it adds, else the mean over the training rows below."""

    feature: tuple[int, ...]
    threshold: tuple[Finite, ...]
    missing_left: tuple[bool, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[Finite, ...]

    @model_validator(mode="after")
    def _is_a_tree(self) -> Tree:
        size = len(self.feature)
        lists = (self.threshold, self.missing_left, self.left, self.right, self.value)
        if not size or any(len(part) != size for part in lists):
            raise ValueError("node lists of one length")
        for node, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            if (left == LEAF) != (right == LEAF) or (left != LEAF and not (node < left < size and node < right < size)):
                raise ValueError(f"children that follow their parent (node {node})")
        return self


class Boosted(Declaration):
    """Gradient-boosted trees."""

    kind: Literal["gradient_boosting"]
    baseline: Finite
    trees: tuple[Tree, ...]

    def width_fits(self, width: int) -> bool:
        """Whether every split reads one of `width` columns."""
        return all(
            0 <= f < width for t in self.trees for f, left in zip(t.feature, t.left, strict=True) if left != LEAF
        )

    def parts(self, matrix: Matrix) -> tuple[float, Matrix]:
        """The intercept, and what each column adds to each row's log-odds: shape of `matrix`."""
        added = np.zeros_like(matrix)
        intercept = self.baseline
        rows = np.arange(matrix.shape[0])
        for tree in self.trees:
            intercept += tree.value[0]
            feature, left, right = (np.array(x) for x in (tree.feature, tree.left, tree.right))
            threshold, value = np.array(tree.threshold), np.array(tree.value)
            missing_left = np.array(tree.missing_left)
            node = np.zeros(matrix.shape[0], dtype=np.int64)
            moving = rows if left[0] != LEAF else rows[:0]
            while moving.size:
                at = node[moving]
                found = matrix[moving, feature[at]]
                goes_left = np.where(np.isnan(found), missing_left[at], found <= threshold[at])
                following = np.where(goes_left, left[at], right[at])
                added[moving, feature[at]] += value[following] - value[at]
                node[moving] = following
                moving = moving[left[following] != LEAF]
        return intercept, added


class Linear(Declaration):
    """Logistic regression over scaled columns."""

    kind: Literal["logistic"]
    intercept: Finite
    weights: tuple[Finite, ...]
    means: tuple[Finite, ...]

    def width_fits(self, width: int) -> bool:
        """Whether there is one weight for each of `width` columns."""
        return len(self.weights) == len(self.means) == width

    def parts(self, matrix: Matrix) -> tuple[float, Matrix]:
        """The score of a row with the mean of every column, and what each column adds to that."""
        weights, means = np.array(self.weights), np.array(self.means)
        return float(self.intercept + means @ weights), (matrix - means) * weights


class Sigmoid(Declaration):
    """p = 1 / (1 + exp(-(slope * score + offset))) (Platt 1999)."""

    kind: Literal["sigmoid"]
    slope: Finite
    offset: Finite

    def probability(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probability of log-odds."""
        return 1.0 / (1.0 + np.exp(-np.clip(self.slope * score + self.offset, -700, 700)))


class Isotonic(Declaration):
    """A rising line through points (Zadrozny and Elkan 2002)."""

    kind: Literal["isotonic"]
    scores: Annotated[tuple[Finite, ...], Field(min_length=1)]
    probabilities: tuple[Annotated[float, Field(ge=0, le=1)], ...]

    @model_validator(mode="after")
    def _rises(self) -> Isotonic:
        if len(self.scores) != len(self.probabilities):
            raise ValueError("as many probabilities as scores")
        if any(np.diff(self.scores) < 0) or any(np.diff(self.probabilities) < 0):
            raise ValueError("points that rise")
        return self

    def probability(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probability of log-odds."""
        return np.interp(score, self.scores, self.probabilities)


Learned = Annotated[Boosted | Linear, Field(discriminator="kind")]
Calibration = Annotated[Sigmoid | Isotonic, Field(discriminator="kind")]
