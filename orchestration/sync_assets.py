"""One asset a sync: what stands at the destination."""

# no `from __future__ import annotations`: Dagster reads the annotations of step functions as classes

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext

from cdp.errors import CdpError
from cdp.settings import Settings, connection
from orchestration.names import GROUPS, owners
from orchestration.resources import Warehouse
from reverse_etl.catalog import resolve
from reverse_etl.engine import SyncResult, run, sync_names

DELIVERED = "delivered"


def sync_key(name: str) -> dg.AssetKey:
    """Asset key of what a sync delivers."""
    return dg.AssetKey(["destinations", name])


def sync_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Assets of all declared syncs."""
    return [_sync_asset(name, settings) for name in sync_names(settings)]


def _sync_asset(name: str, settings: Settings) -> dg.AssetsDefinition:
    resolved = resolve(name, settings)
    sync, destination = resolved.sync, resolved.spec.name

    @dg.asset(
        key=sync_key(name),
        deps=[dg.AssetKey(model.split(".", 1)) for model in resolved.source.models],
        group_name=GROUPS["destinations"],
        kinds={sync.destination.split("_")[0], "reverse_etl"},
        owners=owners(sync.owner),
        description=sync.description,
        check_specs=[
            dg.AssetCheckSpec(DELIVERED, asset=sync_key(name), description="Every row that could be sent was accepted.")
        ],
        op_tags={"sync": name},
    )
    def deliver(context: AssetExecutionContext, warehouse: Warehouse) -> Iterator[object]:
        result, error = _attempt(context, name, warehouse)
        yield dg.MaterializeResult(asset_key=sync_key(name), metadata=_metadata(result, error))
        # a destination nobody connected yet is no failure of the run; a wrong or half-connected one is
        harmless = not error or not connection(destination, warehouse.settings)
        yield dg.AssetCheckResult(
            asset_key=sync_key(name),
            check_name=DELIVERED,
            passed=bool(result and result.ok),
            severity=dg.AssetCheckSeverity.WARN if harmless else dg.AssetCheckSeverity.ERROR,
            metadata=_metadata(result, error),
        )

    return deliver


def _attempt(
    context: AssetExecutionContext, name: str, warehouse: Warehouse
) -> tuple[SyncResult | None, CdpError | None]:
    """Run the sync. One that is stopped (limits, credentials) does not keep the others' delivery log from being landed."""
    try:
        return run(name, warehouse.settings, warehouse.as_of), None
    except CdpError as error:
        context.log.error(error.render())
        return None, error


def _metadata(result: SyncResult | None, error: CdpError | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        k: v for k, v in (result.to_dict() if result else {}).items() if isinstance(v, int | str | bool)
    }
    return found | ({"error": error.render()} if error else {})
