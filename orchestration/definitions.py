"""Everything Dagster is told. One run executes in one process (one writer), so the executor is in-process."""

from __future__ import annotations

import os

import dagster as dg

from cdp.settings import Settings, get_settings
from cdp.sources import active_sources
from orchestration.automation import (
    EVERYTHING,
    LAND_DELIVERIES,
    SYNC_ONLY,
    TRAIN_MODELS,
    held_back_sensor,
    new_data_sensor,
    schedule,
    sync_jobs,
    sync_schedules,
    training_schedule,
)
from orchestration.checks import blocking_keys, suite_checks
from orchestration.dbt_assets import dbt_steps
from orchestration.ingest_assets import ingest_assets
from orchestration.manifest import manifest_path
from orchestration.model_assets import model_assets
from orchestration.progress import progress_logger
from orchestration.resources import Warehouse, dbt_resource
from orchestration.sync_assets import sync_assets, sync_key
from orchestration.tracking_checks import DAYS, tracking_checks
from reverse_etl.engine import sync_names


def build(settings: Settings) -> dg.Definitions:
    """The definitions for the given settings."""
    os.environ.update(settings.dbt_environment())
    delivered = [sync_key(name) for name in sync_names(settings)]
    steps = dbt_steps(manifest_path(settings), blocking_keys(settings))
    counted = any(DAYS in step.keys for step in steps)
    late = {name: delivered for name, document in active_sources(settings).items() if document.value.after_syncs}
    return dg.Definitions(
        assets=[
            *ingest_assets(settings, late),
            *steps,
            *model_assets(settings),
            *sync_assets(settings),
        ],
        asset_checks=[*suite_checks(settings), *tracking_checks(settings, counted)],
        jobs=[EVERYTHING, SYNC_ONLY, LAND_DELIVERIES, TRAIN_MODELS, *sync_jobs(settings)],
        schedules=[schedule(), training_schedule(), *sync_schedules(settings)],
        sensors=[new_data_sensor(), held_back_sensor()],
        resources={"warehouse": Warehouse(), "dbt": dbt_resource(settings)},
        executor=dg.in_process_executor,
        loggers={"console": dg.colored_console_logger, "progress": progress_logger},
    )


defs = build(get_settings())
