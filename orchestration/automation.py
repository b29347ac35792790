"""Jobs, schedule and sensor."""

# no `from __future__ import annotations`: Dagster reads the annotations of step functions as classes

import dagster as dg

from cdp.settings import get_settings
from cdp.sources import active_sources
from orchestration.names import GROUPS

TRAINED = dg.AssetSelection.key_prefixes("models")
EVERYTHING = dg.define_asset_job(
    "everything",
    selection=dg.AssetSelection.all() - TRAINED,
    description="All sources to all destinations; models score, but do not learn.",
)
TRAIN_MODELS = dg.define_asset_job(
    "train_models",
    selection=TRAINED | dg.AssetSelection.key_prefixes("predictions"),
    description="Every predictive model learns anew from the warehouse as it is, and scores.",
)
SYNC_ONLY = dg.define_asset_job(
    "sync_only",
    selection=dg.AssetSelection.groups(GROUPS["destinations"]),
    description="Deliver what the activation models hold now; nothing is loaded or built.",
)


def schedule() -> dg.ScheduleDefinition:
    """Everything, at five past each hour. Switched on in the UI."""
    return dg.ScheduleDefinition(name="hourly", job=EVERYTHING, cron_schedule="5 * * * *", execution_timezone="UTC")


def training_schedule() -> dg.ScheduleDefinition:
    """Models learn anew each Monday night. Switched on in the UI."""
    return dg.ScheduleDefinition(
        name="weekly_training", job=TRAIN_MODELS, cron_schedule="35 2 * * 1", execution_timezone="UTC"
    )


def new_data_sensor() -> dg.SensorDefinition:
    """Starts a run when a file source has files that were not read yet."""

    @dg.sensor(name="new_source_data", job=EVERYTHING, minimum_interval_seconds=60)
    def look(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from ingest.status import has_new_data

        settings = get_settings()
        waiting = [
            n
            for n, d in active_sources(settings).items()
            if _is_file_source(d.value.kind) and has_new_data(d.value, settings)
        ]
        active = context.instance.get_runs_count(
            dg.RunsFilter(
                job_name=EVERYTHING.name,
                statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING],
            )
        )
        if not waiting:
            return dg.SkipReason("no file source has new data")
        if active:
            return dg.SkipReason(f"new data from {', '.join(waiting)}; a run is already under way")
        return dg.RunRequest(tags={"cdp/new_data": ",".join(waiting)})

    return look


def _is_file_source(kind: str) -> bool:
    return kind in ("file_drop", "event_log", "collector")
