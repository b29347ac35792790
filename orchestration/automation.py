"""Jobs, schedule, sensor and freshness checks."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from cdp.settings import Settings, get_settings
from cdp.sources import active_sources
from ingest.status import has_new_data
from orchestration.names import GROUPS

EVERYTHING = dg.define_asset_job(
    "everything", selection=dg.AssetSelection.all(), description="All sources to all destinations."
)
SYNC_ONLY = dg.define_asset_job(
    "sync_only",
    selection=dg.AssetSelection.groups(GROUPS["destinations"]),
    description="Deliver what the activation models hold now; nothing is loaded or built.",
)


def schedule() -> dg.ScheduleDefinition:
    """Everything, at five past each hour. Switched on in the UI."""
    return dg.ScheduleDefinition(name="hourly", job=EVERYTHING, cron_schedule="5 * * * *", execution_timezone="UTC")


def new_data_sensor() -> dg.SensorDefinition:
    """Starts a run when a file source has files that were not read yet."""

    @dg.sensor(name="new_source_data", job=EVERYTHING, minimum_interval_seconds=60)
    def look(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settings = get_settings()
        waiting = [n for n, d in active_sources(settings).items() if _is_file_source(d.value.kind) and has_new_data(d.value, settings)]
        active = context.instance.get_runs_count(
            dg.RunsFilter(job_name=EVERYTHING.name, statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING])
        )
        if not waiting:
            return dg.SkipReason("no file source has new data")
        if active:
            return dg.SkipReason(f"new data from {', '.join(waiting)}; a run is already under way")
        return dg.RunRequest(tags={"cdp/new_data": ",".join(waiting)})

    return look


def freshness_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The profiles and each source's tables are built at least so often; late = a warning in the UI."""
    person = dg.build_last_update_freshness_checks(
        assets=[dg.AssetKey(["profiles", "person"])], lower_bound_delta=timedelta(hours=25), severity=dg.AssetCheckSeverity.WARN
    )
    raw = []
    for name, document in active_sources(settings).items():
        keys = [dg.AssetKey(["raw", f"{name}__{table}"]) for table in document.value.tables]
        raw += dg.build_last_update_freshness_checks(
            assets=keys,
            lower_bound_delta=timedelta(hours=document.value.freshness.warn_after_hours),
            severity=dg.AssetCheckSeverity.WARN,
        )
    return [*person, *raw]


def _is_file_source(kind: str) -> bool:
    return kind in ("file_drop", "event_log")
