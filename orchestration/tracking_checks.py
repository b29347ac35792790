"""The tracking plan's checks: violation rate, volume, and events that stopped. They warn; what is to be held back is held back
by the plan itself, event by event."""

# no `from __future__ import annotations`: Dagster reads the annotations of step functions as classes

from collections.abc import Iterator

import dagster as dg

from cdp.settings import Settings
from cdp.tracking_plan import has_plan, load_plan
from ingest.tracking_plan.watching import STOPPED, VIOLATION_RATE, VOLUME, Alarm, watch
from orchestration.resources import Warehouse

DAYS = dg.AssetKey(["tracking", "tracking_event_day"])
CHECKS = {
    VIOLATION_RATE: "Few events of the last whole day break the tracking plan. If it fails: look at tracking.tracking_violation by rule "
    "and SDK version; correct the client, or the plan.",
    VOLUME: "No event came much more or less often on the last whole day than usual. If it fails: look for a release, a campaign, or a "
    "client that sends twice or not at all.",
    STOPPED: "No event that used to come every day has stopped. If it fails: ask its owner; set its status to deprecated if that is meant.",
}


def tracking_checks(settings: Settings, has_asset: bool) -> list[dg.AssetChecksDefinition]:
    """One step with the three checks; none without a plan, or where no active source sends events."""
    if not (has_asset and has_plan(settings)):
        return []

    specs = [dg.AssetCheckSpec(name, asset=DAYS, description=said) for name, said in CHECKS.items()]

    @dg.multi_asset_check(name="watch_tracking", specs=specs, can_subset=False)
    def check(warehouse: Warehouse) -> Iterator[dg.AssetCheckResult]:
        alarms = watch(load_plan(warehouse.settings), warehouse.settings, warehouse.as_of)
        yield from (_result(name, [a for a in alarms if a.check == name]) for name in CHECKS)

    return [check]


def _result(name: str, alarms: list[Alarm]) -> dg.AssetCheckResult:
    rows = "\n".join(f"| {a.event} | {a.source} | {a.found:g} | {a.expected:g} |" for a in alarms)
    table = f"| event | source | found | expected |\n| --- | --- | --- | --- |\n{rows}" if rows else "none"
    return dg.AssetCheckResult(
        asset_key=DAYS,
        check_name=name,
        passed=not alarms,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"alarms": len(alarms), "events": dg.MetadataValue.md(table), "why_and_fix": CHECKS[name]},
    )
