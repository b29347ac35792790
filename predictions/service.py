"""What the command line and Dagster do with declared models: train, evaluate, score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from cdp.errors import RunError
from cdp.settings import Settings
from predictions import lifetime, outcome_model, store
from predictions.artifact import Artifact, LifetimeArtifact, ProbabilityArtifact, Report, current
from predictions.artifact import store as keep
from predictions.declaration import LifetimeValueModel, OutcomeModel, named, read_models
from predictions.learning import probabilities
from predictions.measures import Measures
from predictions.reasons import top_reasons

NO_REASONS = pa.table(
    {c: pa.array([], pa.string()) for c in ("entity_id", "grain", "model", "feature", "feature_value")}
)


@dataclass(frozen=True)
class Training:
    """A version that was trained and kept."""

    name: str
    version: str
    artifact: Artifact
    report: Report


@dataclass(frozen=True)
class Evaluation:
    """How a model did against what happened: measures of a probability, or figures of orders and value."""

    name: str
    version: str
    cutoff: str
    unseen: bool
    measures: Measures | None
    lifetime: dict[str, float]


def train(con: duckdb.DuckDBPyConnection, name: str, settings: Settings, as_of: str) -> Training:
    """Train a declared model on the warehouse, keep it and make it current. Raises DeclarationError or RunError."""
    document = named(settings, name)
    artifact: Artifact
    if isinstance(document.value.root, LifetimeValueModel):
        artifact, report = lifetime.train(con, document, settings, as_of)
    else:
        artifact, report = outcome_model.train(con, document, settings, as_of)
    return Training(name, keep(settings, artifact, report), artifact, report)


def evaluate(con: duckdb.DuckDBPyConnection, name: str, settings: Settings, as_of: str) -> Evaluation:
    """The current version against what is known by as_of. Raises RunError when it was never trained."""
    document = named(settings, name)
    version, artifact, _ = trained(settings, name)
    model = document.value.root
    if isinstance(artifact, LifetimeArtifact) and isinstance(model, LifetimeValueModel):
        moment = lifetime.holdout_start(model, as_of)
        rows = lifetime.buyers(con, document, settings, moment, model.holdout_days)
        figures = lifetime.held_out_measures(artifact, rows, model.holdout_days)
        return Evaluation(name, version, moment, moment >= artifact.trained.cutoffs[0], None, figures)
    if not isinstance(artifact, ProbabilityArtifact) or not isinstance(model, OutcomeModel):
        raise _other_kind(name)
    measures, moment, unseen = outcome_model.evaluate(con, document, settings, artifact, as_of)
    return Evaluation(name, version, moment, unseen, measures, {})


def score(con: duckdb.DuckDBPyConnection, name: str, settings: Settings, as_of: str) -> int:
    """Score everybody the model is for, as of now; returns how many. Raises RunError when it was never trained."""
    document = named(settings, name)
    version, artifact, _ = trained(settings, name)
    said: dict[str, Any] = {"model": name, "version": version, "as_of": as_of}
    model = document.value.root
    if isinstance(artifact, LifetimeArtifact) and isinstance(model, LifetimeValueModel):
        rows = lifetime.buyers(con, document, settings, as_of, 0)
        found = lifetime.lifetime(artifact, rows, model.horizon_days)
        predictions = store.prediction_rows(
            rows["entity_id"], grain="person", probability=found.alive, orders=found.orders, value=found.value, **said
        )
        reasons = NO_REASONS
    elif isinstance(artifact, ProbabilityArtifact) and isinstance(model, OutcomeModel):
        rows = outcome_model.current_rows(con, document, settings, as_of)
        _same_features(name, artifact, rows)
        scored = probabilities(artifact, rows)
        predictions = store.prediction_rows(
            rows["entity_id"], grain=model.grain, probability=scored.probability, **said
        )
        reasons = _of_entities(top_reasons(scored, rows), rows["entity_id"], model.grain, name)
    else:
        raise _other_kind(name)
    store.replace(con, name, predictions, reasons)
    return predictions.num_rows


def score_all(con: duckdb.DuckDBPyConnection, settings: Settings, as_of: str) -> dict[str, int | str]:
    """Score with every declared model that was trained: how many, or why not. A model that cannot score does not stop the
    others; predictions of models that are gone are removed."""
    models = read_models(settings)
    store.forget_others(con, list(models))
    found: dict[str, int | str] = {}
    for name in models:
        if current(settings, name) is None:
            found[name] = f"not trained yet: `cdp model train {name}`"
            continue
        try:
            found[name] = score(con, name, settings, as_of)
        except RunError as error:
            found[name] = error.render()
    return found


def trained(settings: Settings, name: str) -> tuple[str, Artifact, Report]:
    """The current version. Raises RunError when there is none."""
    found = current(settings, name)
    if found is None:
        raise RunError("has not been trained yet", where=name, fix=f"`cdp model train {name}`")
    return found


def _same_features(name: str, artifact: ProbabilityArtifact, rows: pa.Table) -> None:
    missing = [f for f in artifact.encoder.features if f not in rows.column_names]
    if missing:
        raise RunError(
            f"was trained with features that are no longer declared: {', '.join(missing)}",
            where=name,
            fix=f"`cdp model train {name}`",
        )


def _other_kind(name: str) -> RunError:
    return RunError("was trained as a model of another kind", where=name, fix=f"`cdp model train {name}`")


def _of_entities(reasons: pa.Table, entity: pa.ChunkedArray, grain: str, model: str) -> pa.Table:
    size = reasons.num_rows
    return pa.table(
        {
            "entity_id": entity.take(reasons["row"]) if size else pa.array([], pa.string()),
            "grain": pa.array([grain] * size, pa.string()),
            "model": pa.array([model] * size, pa.string()),
            **{c: reasons[c] for c in ("position", "feature", "feature_value", "effect")},
        }
    )
