"""What Dagster remembers: the last runs and the checks that fail now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from cdp.settings import Settings
from orchestration.run import dagster_home

# a check that no run of the last twenty evaluated says nothing about now
LOOK_BACK_RUNS = 20


@dataclass(frozen=True)
class RunRecord:
    """One run."""

    run_id: str
    job: str
    status: str
    started_at: str | None
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


@dataclass(frozen=True)
class FailingCheck:
    """A check whose last evaluation failed. `reason`: what was observed, or the error; empty when the check tells none."""

    asset: str
    check: str
    severity: str
    at: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def last_runs(settings: Settings, limit: int = 5) -> list[RunRecord]:
    """The newest runs first."""
    dagster_home(settings)
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        return [
            RunRecord(
                r.dagster_run.run_id,
                r.dagster_run.job_name,
                r.dagster_run.status.value,
                _iso(r.start_time),
                round(r.end_time - r.start_time, 1) if r.end_time and r.start_time else None,
            )
            for r in instance.get_run_records(limit=limit)
        ]


def failing_checks(settings: Settings) -> list[FailingCheck]:
    """Checks that failed when they were last evaluated, by asset and name. Reads the instance only, not the definitions."""
    dagster_home(settings)
    import dagster as dg

    latest: dict[tuple[str, str], FailingCheck | None] = {}
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(limit=LOOK_BACK_RUNS):
            for entry in reversed(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)):
                if entry.dagster_event is None:
                    continue
                found = entry.dagster_event.asset_check_evaluation_data
                key = (found.asset_key.to_user_string(), found.check_name)
                failing = FailingCheck(*key, found.severity.value, _iso(entry.timestamp) or "", _reason(found.metadata))
                latest.setdefault(key, None if found.passed else failing)
    return [found for _, found in sorted(latest.items()) if found]


def _reason(metadata: Mapping[str, Any]) -> str:
    told = next((metadata[name] for name in ("error", "observed") if name in metadata), None)
    return str(told.value) if told else ""


def _iso(epoch: float | None) -> str | None:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S") if epoch else None
