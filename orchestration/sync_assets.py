"""One asset a sync: what stands at the destination."""

# no `from __future__ import annotations`: Dagster reads the annotations of step functions as classes

import traceback
from collections.abc import Iterator

import dagster as dg
from dagster import AssetExecutionContext

from cdp.errors import CdpError
from cdp.settings import Settings, connection
from orchestration.names import GROUPS, owners
from orchestration.resources import Warehouse
from orchestration.sync_metadata import metadata_of
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
        told = metadata_of(resolved, result, error, warehouse.settings)
        yield dg.MaterializeResult(asset_key=sync_key(name), metadata=told)
        # a destination nobody connected yet is no failure of the run; a wrong or half-connected one is
        harmless = not error or not connection(destination, warehouse.settings)
        yield dg.AssetCheckResult(
            asset_key=sync_key(name),
            check_name=DELIVERED,
            passed=bool(result and result.ok),
            severity=dg.AssetCheckSeverity.WARN if harmless else dg.AssetCheckSeverity.ERROR,
            metadata={"error": told["error"]} if error else {},
        )

    return deliver


def _attempt(
    context: AssetExecutionContext, name: str, warehouse: Warehouse
) -> tuple[SyncResult | None, CdpError | None]:
    """Run the sync. Whatever ends it (limits, credentials, a defect) does not keep the others' delivery log from being landed."""
    try:
        return run(name, warehouse.settings, warehouse.as_of), None
    except CdpError as error:
        context.log.error(error.render())
        return None, error
    except Exception as error:
        # The text of an error that nobody foresaw may quote a row, so only its kind and place are told.
        place = traceback.extract_tb(error.__traceback__)[-1]
        told = CdpError(
            f"the sync broke off: {type(error).__name__}",
            where=f"{place.filename}:{place.lineno}",
            fix=f"report it; `cdp sync status {name}` shows what was sent, and the next run goes on from there",
        )
        context.log.error(told.render())
        return None, told
