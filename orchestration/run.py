"""Runs the whole graph in this process, as `cdp run` does: the same job, instance and state as the Dagster UI shows."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cdp.errors import ConfigurationError
from cdp.settings import Settings
from orchestration import dbt_server

Progress = Callable[[str, str, float], None]


@dataclass
class RunSummary:
    """What a run did. `ok`: every step ran (none failed or was held back) and no check of severity error failed."""

    run_id: str
    as_of: str
    ok: bool
    seconds: float
    steps: dict[str, float] = field(default_factory=dict)
    failed_steps: list[str] = field(default_factory=list)
    held_back: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def dagster_home(settings: Settings) -> Path:
    """The instance's folder with its dagster.yaml; sets DAGSTER_HOME. Raises ConfigurationError when it cannot be written."""
    home = settings.path("dagster")
    try:
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(settings.project_root / "orchestration" / "dagster.yaml", home / "dagster.yaml")
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror or error}",
            where=str(home),
            fix="check rights and free space, or set CDP_DATA_DIR",
        ) from error
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def execute(settings: Settings, *, job: str, as_of: str, full_refresh: bool, progress: Progress) -> RunSummary:
    """Run a job to its end; a failing step leaves the others running. Raises CdpError for what is wrong beforehand.

    The writer lock comes first of all: a run that waits must not touch dbt's files and the log of the one it waits for, and
    one that may not wait says so at once.
    """
    from cdp.warehouse import writer_lock

    dagster_home(settings)
    # dbt's selection speaks on standard output as soon as the definitions are loaded
    with writer_lock(settings), _output_in(settings.path("logs", "run.log")):
        return _execute(settings, job, as_of, full_refresh, progress)


def _execute(settings: Settings, job: str, as_of: str, full_refresh: bool, progress: Progress) -> RunSummary:
    started = time.monotonic()
    try:
        return _prepared(settings, job, as_of, full_refresh, progress, started)
    finally:
        dbt_server.close()


def _prepared(
    settings: Settings, job: str, as_of: str, full_refresh: bool, progress: Progress, started: float
) -> RunSummary:
    _make_ready(settings, with_dbt=job != "sync_only")
    import dagster as dg

    from orchestration.automation import LAND_DELIVERIES, LANDS_ITSELF_TAG
    from orchestration.definitions import defs
    from orchestration.resources import AS_OF_TAG, FULL_REFRESH_TAG

    tags = {AS_OF_TAG: as_of, LANDS_ITSELF_TAG: "true"} | ({FULL_REFRESH_TAG: "true"} if full_refresh else {})
    summary = RunSummary("", as_of, True, 0.0)
    begun: dict[str, float] = {}

    def hear(step: str, state: str) -> None:
        now = time.monotonic()
        begun.setdefault(step, now)
        summary.steps[step] = round(now - begun[step], 2)
        progress(step, state, summary.steps[step])

    def carry_out(name: str) -> Any:
        result = defs.resolve_job_def(name).execute_in_process(
            instance=instance, tags=tags, raise_on_error=False, run_config={"loggers": {"progress": {}}}
        )
        _note(summary, result)
        return result

    with dg.DagsterInstance.get() as instance, _heard_by(hear):
        _clear_abandoned(instance)
        result = carry_out(job)
        summary.run_id = result.run_id
        planned = _planned(instance, result.run_id)
        landing = set(defs.resolve_job_def(LAND_DELIVERIES.name).graph.node_dict)
        if landing <= set(planned) - summary.steps.keys():
            # A sync was held back. What the others did is landed all the same.
            carry_out(LAND_DELIVERIES.name)
        summary.held_back = [step for step in planned if step not in summary.steps]
    # a step that is tried again ends late: by name the summary is the same whatever was tried again
    summary.failed_checks.sort()
    summary.warnings.sort()
    summary.ok = summary.ok and not (summary.failed_steps or summary.held_back or summary.failed_checks)
    summary.seconds = round(time.monotonic() - started, 2)
    return summary


def _note(summary: RunSummary, result: Any) -> None:
    """Add what a job did: failed steps and checks, and why."""
    import dagster as dg

    summary.ok = summary.ok and result.success
    for event in result.all_events:
        if event.is_step_failure and event.step_key:
            summary.failed_steps.append(event.step_key)
            summary.errors.append(f"{event.step_key}: {_reason(event)}")
        elif event.is_failure and not event.is_step_event and not summary.failed_steps:
            # before any step: a resource that could not be set up
            summary.errors.append(f"the run: {event.message}".splitlines()[0][:500])
    for check in result.get_asset_check_evaluations():
        name = f"{check.asset_key.to_user_string()}: {check.check_name}"
        if not check.passed:
            is_error = check.severity == dg.AssetCheckSeverity.ERROR
            (summary.failed_checks if is_error else summary.warnings).append(name)
            error = check.metadata.get("error")
            if is_error and error and str(error.value) not in summary.errors:
                summary.errors.append(str(error.value))


def _make_ready(settings: Settings, *, with_dbt: bool) -> None:
    """While dbt reads the project in a process of its own, import here what takes long: 8 s that would otherwise add up."""
    from expectations.runner import import_great_expectations
    from ingest.pipeline import import_dlt
    from orchestration.manifest import is_current, manifest_path

    os.environ.update(settings.dbt_environment())
    current = is_current(settings)
    if with_dbt or not current:
        dbt_server.start(settings, write=not current)
    if not current:
        import dagster_dbt  # noqa: F401

        import_dlt()
        import_great_expectations()
        manifest_path(settings)


def _planned(instance: Any, run_id: str) -> list[str]:
    """Steps of a run in their order. One that never began was held back: Dagster only logs that, as no event."""
    run = instance.get_run_by_id(run_id)
    return list(instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute)


def _clear_abandoned(instance: Any) -> None:
    """Runs that were killed: their process held the writer lock, which we hold now, so it is gone. Say so in the UI."""
    import dagster as dg

    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        instance.report_run_failed(
            run, message="The process of this run ended without a word; the next run goes on from where it was."
        )


@contextmanager
def _output_in(path: Path) -> Iterator[None]:
    """What steps print (dbt's log above all) goes to a file while a run is under way; Dagster keeps it by step, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    kept = os.dup(1)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)


@contextmanager
def _heard_by(listener: Callable[[str, str], None]) -> Iterator[None]:
    from orchestration.progress import listeners

    listeners.append(listener)
    try:
        yield
    finally:
        listeners.remove(listener)


def _reason(event: Any) -> str:
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return (error.message if error else "failed").strip().splitlines()[0][:500]
