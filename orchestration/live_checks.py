"""What `cdp live` tells Dagster, and asks it: rows landed and delivered, suites run, checks that hold something back.

A check that failed in the last run holds back the same models here, until it is evaluated again; and the other way round.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from cdp.settings import Settings
from cdp.sources import Source
from expectations.runner import CheckResult, import_great_expectations, run_suites, suites
from ingest.pipeline import Loaded
from orchestration.checks import blocking_keys, key_of
from orchestration.gates import held_back
from orchestration.names import raw_key
from orchestration.run import dagster_home
from orchestration.sync_assets import sync_key
from reverse_etl.result import SyncResult


class Gate:
    """Suites, and the last word of each blocking check."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        dagster_home(settings)
        self._instance = dg.DagsterInstance.get()
        import_great_expectations()
        self._blocking = blocking_keys(settings)

    def look(self, schema: str, tables: list[str], as_of: str) -> list[CheckResult]:
        """Run the suites of some tables that have a blocking check. Those without one wait for the next run."""
        wanted = {f"{schema}.{table}" for table in tables}
        names = [s.name for s in suites(self._settings) if s.name in wanted and any(c.blocking for c in s.checks)]
        found = [r for results in run_suites(names, self._settings, as_of).values() for r in results] if names else []
        for each in found:
            self._instance.report_runless_asset_event(_evaluation(each))
        return found

    def stopped(self) -> dict[tuple[str, str], str]:
        """(schema, table) -> why what depends on it may not be built or sent."""
        failed = held_back(self._instance, self._blocking)
        return {
            (k.path[0], k.path[-1]): f"the check {check} of {k.to_user_string()} failed" for k, check in failed.items()
        }

    def landed(self, source: Source, loaded: Loaded) -> None:
        """Rows of a source were landed."""
        for table in source.tables:
            told: dict[str, Any] = {
                "rows_loaded": loaded.rows.get(f"{source.name}__{table}", loaded.rows.get(table, 0))
            }
            self._instance.report_runless_asset_event(dg.AssetMaterialization(raw_key(source, table), metadata=told))

    def delivered(self, name: str, result: SyncResult) -> None:
        """A sync ran; told when it sent something."""
        if result.sent:
            figures = {k: v for k, v in result.to_dict().items() if isinstance(v, int | str | bool)}
            self._instance.report_runless_asset_event(dg.AssetMaterialization(sync_key(name), metadata=figures))


def _evaluation(found: CheckResult) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=key_of(found.suite),
        check_name=found.name,
        passed=found.passed,
        severity=dg.AssetCheckSeverity.ERROR if found.severity == "error" else dg.AssetCheckSeverity.WARN,
        metadata={"observed": found.observed, "unexpected_count": found.unexpected_count or 0, "by": "cdp live"},
    )
