"""Predictive models as assets: each trained model, and what all of them say of everybody."""

# no `from __future__ import annotations`: Dagster reads the annotations of step functions as classes

from typing import Any

import dagster as dg
from dagster import AssetExecutionContext

from cdp.settings import Settings
from cdp.warehouse import writing
from orchestration.names import GROUPS, owners
from orchestration.resources import Warehouse
from predictions import service
from predictions.declaration import LifetimeValueModel, Model, OutcomeModel, read_models
from predictions.plots import as_markdown
from predictions.store import TABLES

SCORED = [dg.AssetKey(["predictions", table]) for table in TABLES]
_FACTS = {
    "event": "person_event",
    "order": "person_order",
    "lead": "person_lead",
    "stage_change": "person_stage_change",
}


def model_key(name: str) -> dg.AssetKey:
    """Asset key of a trained model."""
    return dg.AssetKey(["models", name])


def model_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """One asset a declared model (its training), and the predictions of all of them."""
    models = {name: document.value.root for name, document in read_models(settings).items()}
    return [*(_training(name, model) for name, model in models.items()), _scoring(models)]


def _training(name: str, model: Model) -> dg.AssetsDefinition:
    @dg.asset(
        key=model_key(name),
        deps=_reads(model),
        group_name=GROUPS["models"],
        kinds={"scikitlearn"} if isinstance(model, OutcomeModel) else {"pymc"},
        owners=owners(model.owner),
        description=model.description,
        op_tags={"model": name},
    )
    def train(context: AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult[None]:
        with writing(warehouse.settings) as con:
            done = service.train(con, name, warehouse.settings, warehouse.as_of)
        for warned in done.report.warnings:
            context.log.warning(f"leakage warning: {warned.feature}: {warned.why}")
        return dg.MaterializeResult(asset_key=model_key(name), metadata=_metadata(done))

    return train


def _scoring(models: dict[str, Model]) -> dg.AssetsDefinition:
    reads = sorted({key for model in models.values() for key in _reads(model)}, key=lambda k: list(k.path))

    # models that a run does not train score as they are
    reads += [model_key(name) for name in models]

    @dg.multi_asset(
        name="score_models",
        specs=[
            dg.AssetSpec(
                key,
                owners=owners(None),
                deps=reads,
                group_name=GROUPS["models"],
                kinds={"duckdb"},
                description=_DESCRIPTIONS[key.path[-1]],
            )
            for key in SCORED
        ],
    )
    def score(context: AssetExecutionContext, warehouse: Warehouse) -> Any:
        with writing(warehouse.settings) as con:
            found = service.score_all(con, warehouse.settings, warehouse.as_of)
        for key in SCORED:
            yield dg.MaterializeResult(asset_key=key, metadata=dict(found))

    return score


_DESCRIPTIONS = {
    "prediction": "What the trained models say of persons and accounts, as of now.",
    "prediction_reason": "The few features that moved each prediction most.",
}


def _reads(model: Model) -> list[dg.AssetKey]:
    tables = {"audience"}
    if isinstance(model, LifetimeValueModel):
        tables.add("person_order")
    elif isinstance(model, OutcomeModel):
        tables |= {_FACTS[f.over] for f in model.features} | {_FACTS[h.over] for h in model.label.any_of} | {"person"}
        tables |= {"person_account"} if model.grain == "account" else set()
    return [dg.AssetKey(["profiles", table]) for table in sorted(tables)]


def _metadata(done: service.Training) -> dict[str, Any]:
    trained, held_out = done.artifact.trained, done.report.held_out
    found: dict[str, Any] = {
        "version": done.version,
        "rows": trained.rows,
        "positives": trained.positives,
        "negatives": trained.negatives,
        "held_out_cutoff": trained.held_out_cutoff or "",
        "leakage_warnings": [f"{w.feature}: {w.why}" for w in done.report.warnings],
        **done.report.lifetime,
    }
    if held_out is not None and held_out.auc is not None:
        names = ("auc", "auc_error", "average_precision", "brier", "brier_of_base_rate", "calibration_gap")
        found |= {name: getattr(held_out, name) for name in names}
        found["what_moves_it"] = dg.MetadataValue.json(done.report.importance)
    return found | {n: dg.MetadataValue.md(text) for n, text in as_markdown(done.report).items()}
