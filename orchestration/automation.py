"""Jobs, schedule and sensor."""

# no `from __future__ import annotations`: Dagster reads the annotations of step functions as classes

from typing import Any

import dagster as dg

from cdp.settings import Settings, get_settings
from cdp.sources import active_sources
from orchestration.names import GROUPS
from orchestration.sync_assets import sync_key
from reverse_etl.catalog import resolve, sync_names

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
_LOGS = dg.AssetSelection.groups(GROUPS["delivery"])
LAND_DELIVERIES = dg.define_asset_job(
    "land_deliveries",
    selection=_LOGS,
    description="Land the logs of the syncs and build their models; nothing is sent.",
)
# on runs that land what was held back by themselves (`cdp run`)
LANDS_ITSELF_TAG = "cdp/lands_itself"


def sync_jobs(settings: Settings) -> list[Any]:
    """One job a sync: deliver, then land its log."""
    return [
        dg.define_asset_job(
            f"sync_{name}",
            selection=dg.AssetSelection.assets(sync_key(name)) | _LOGS,
            description=f"Deliver {name} from the activation model as it is now, and land its log.",
        )
        for name in sync_names(settings)
    ]


def sync_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Each sync at the times that its declaration says. Switched on in the UI, instead of those of everything."""
    return [
        dg.ScheduleDefinition(
            name=f"sync_{name}",
            job_name=f"sync_{name}",
            cron_schedule=resolve(name, settings).sync.schedule,
            execution_timezone="UTC",
        )
        for name in sync_names(settings)
    ]


def held_back_sensor() -> dg.SensorDefinition:
    """A sync that is held back must not keep the others' outcomes out of the warehouse: they are landed by a run of their own."""

    @dg.run_failure_sensor(name="land_held_back_deliveries", monitored_jobs=[EVERYTHING], request_job=LAND_DELIVERIES)
    def look(context: dg.RunFailureSensorContext) -> dg.RunRequest | dg.SkipReason:
        if LANDS_ITSELF_TAG in context.dagster_run.tags:
            return dg.SkipReason("the run landed them itself")
        return dg.RunRequest(run_key=context.dagster_run.run_id)

    return look


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
