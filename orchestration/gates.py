"""Which assets a failing blocking check holds back. A check blocks what depends on its asset, and nothing else."""

from __future__ import annotations

import dagster as dg

BLOCKING = "blocking"


def held_back(instance: dg.DagsterInstance, keys: list[dg.AssetCheckKey]) -> dict[dg.AssetKey, str]:
    """Asset -> name of the blocking check that failed when it was last evaluated. `keys`: the blocking checks there are."""
    if not keys:
        return {}
    found: dict[dg.AssetKey, str] = {}
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    for key in sorted(latest, key=lambda k: (k.asset_key.to_user_string(), k.name)):
        record = latest[key]
        event = record.event.dagster_event if record and record.event else None
        # a check of this run that is yet to come is only planned
        if event and event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR:
                found.setdefault(key.asset_key, key.name)
    return found
