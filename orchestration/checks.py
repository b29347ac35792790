"""Great Expectations' suites as asset checks."""

# no `from __future__ import annotations`: Dagster reads the annotations of step functions as classes

from collections.abc import Iterator

import dagster as dg

from cdp.settings import Settings
from expectations.runner import CheckResult, Suite, run_suites, suites
from orchestration.resources import Warehouse


def key_of(table: str) -> dg.AssetKey:
    """Asset key of a table `schema.name`."""
    return dg.AssetKey(table.split(".", 1))


def specs_of(suite: Suite, *, blocking: bool = False) -> list[dg.AssetCheckSpec]:
    """A suite's expectations as checks; with `blocking`, those that say so stop the steps behind the asset."""
    return [
        dg.AssetCheckSpec(
            check.name,
            asset=key_of(suite.name),
            description=f"{check.why} If it fails: {check.fix}",
            blocking=blocking and check.blocking,
        )
        for check in suite.checks
    ]


def blocking_keys(settings: Settings) -> list[dg.AssetCheckKey]:
    """Keys of all checks that hold back what depends on their asset."""
    return [dg.AssetCheckKey(key_of(s.name), c.name) for s in suites(settings) for c in s.checks if c.blocking]


def suite_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """One step a suite on profiles and activation; a blocking one stops the steps behind its asset."""
    return [_suite_step(suite) for suite in suites(settings) if suite.schema != "raw"]


def _suite_step(suite: Suite) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name="expect_" + suite.name.replace(".", "_"), specs=specs_of(suite, blocking=True), can_subset=False
    )
    def check(warehouse: Warehouse) -> Iterator[dg.AssetCheckResult]:
        yield from run_and_report([suite.name], warehouse)

    return check


def run_and_report(names: list[str], warehouse: Warehouse) -> Iterator[dg.AssetCheckResult]:
    """Run suites and give their results to Dagster; counts only, never values."""
    if names:
        for found in run_suites(names, warehouse.settings, warehouse.as_of).values():
            yield from (_result(r) for r in found)


def _result(found: CheckResult) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if found.severity == "error" else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        asset_key=key_of(found.suite),
        check_name=found.name,
        passed=found.passed,
        severity=severity,
        metadata={
            "expectation": found.expectation,
            "column": found.column or "(table)",
            "observed": found.observed,
            "unexpected_count": found.unexpected_count or 0,
            "element_count": found.element_count or 0,
            "why": found.why,
            "fix": found.fix,
        },
    )
