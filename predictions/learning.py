"""From rows with an outcome to a model and its report; refuses when there is too little to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cdp.errors import RunError
from predictions.artifact import ProbabilityArtifact, Report, Trained
from predictions.declaration import LEAST_OF_EACH, Learner
from predictions.encoding import Matrix, learn_encoder
from predictions.fitting import fit
from predictions.leakage import Warned, leakage
from predictions.measures import measure


@dataclass(frozen=True)
class Rows:
    """Rows in a fixed order: `table` holds the features, `label` 0 or 1, `group` a number per person (account, id)."""

    table: pa.Table
    label: NDArray[np.int64]
    group: NDArray[np.int64]

    def counts(self) -> tuple[int, int]:
        """How many different groups were positive at least once, and negative at least once."""
        positive = self.label == 1
        return len(np.unique(self.group[positive])), len(np.unique(self.group[~positive]))


def learn(
    model: Learner,
    rows: Rows,
    held_out: Rows,
    *,
    numbers: list[str],
    texts: list[str],
    trained: dict[str, Any],
    warnings: tuple[Warned, ...] = (),
) -> tuple[ProbabilityArtifact, Report]:
    """Fit on `rows`, measure on `held_out`. What is measured is what scores: nothing is fitted again afterwards.

    Raises RunError with fewer than 100 positives or negatives among the rows to learn from.
    """
    positives, negatives = rows.counts()
    refuse_too_few(model.name, positives, negatives)
    encoder = learn_encoder(
        rows.table, numbers, texts, max_categories=model.max_categories, scaled=model.algorithm == "logistic"
    )
    fitted = fit(model, encoder.matrix(rows.table), rows.label, rows.group)
    artifact = ProbabilityArtifact(
        format=1,
        kind="probability",
        name=model.name,
        declaration=model.model_dump(mode="json"),
        trained=Trained(rows=len(rows.label), positives=positives, negatives=negatives, **trained),
        encoder=encoder,
        learned=fitted.learned,
        calibration=fitted.calibration,
    )
    scored = probabilities(artifact, held_out.table)
    report = Report(
        held_out=measure(held_out.label, scored.probability),
        cross_validated=measure(rows.label, fitted.unseen),
        warnings=(*leakage(rows.table, rows.label, rows.group, encoder.features, model.leakage_auc), *warnings),
        importance=_importance(scored),
    )
    return artifact, report


def refuse_too_few(name: str, positives: int, negatives: int) -> None:
    """Raise RunError with fewer than 100 positives or negatives."""
    if min(positives, negatives) < LEAST_OF_EACH:
        raise RunError(
            f"too little to learn from: {positives} positive and {negatives} negative",
            where=name,
            expected=f"at least {LEAST_OF_EACH} of each (different persons, accounts or rows)",
            fix="a longer horizon, more cut-offs, a wider label or population, or more data",
        )


@dataclass(frozen=True)
class Scored:
    """Probabilities of rows, and what each feature adds to their log-odds (rows, features) beside `intercept`."""

    probability: NDArray[np.float64]
    features: tuple[str, ...]
    intercept: float
    effects: Matrix


def probabilities(artifact: ProbabilityArtifact, table: pa.Table) -> Scored:
    """Score rows. With sigmoid calibration effects are in calibrated log-odds: intercept + effects = logit(probability)."""
    encoder = artifact.encoder
    intercept, parts = artifact.learned.parts(encoder.matrix(table))
    position = {f: i for i, f in enumerate(encoder.features)}
    effects = np.zeros((table.num_rows, len(position)))
    for column, encoded in enumerate(encoder.columns):
        effects[:, position[encoded.feature]] += parts[:, column]
    probability = artifact.calibration.probability(intercept + parts.sum(axis=1))
    if artifact.calibration.kind == "sigmoid":
        intercept = artifact.calibration.slope * intercept + artifact.calibration.offset
        effects = artifact.calibration.slope * effects
    return Scored(probability, encoder.features, float(intercept), effects)


def _importance(scored: Scored) -> dict[str, float]:
    if not len(scored.probability):
        return {}
    mean = np.abs(scored.effects).mean(axis=0)
    order = sorted(range(len(mean)), key=lambda i: (-mean[i], scored.features[i]))
    return {scored.features[i]: round(float(mean[i]), 6) for i in order}
