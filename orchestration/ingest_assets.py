"""One asset a raw table, one step a source: load, count, check."""

# no `from __future__ import annotations`: Dagster reads the annotations of step functions as classes

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext

from cdp.errors import CdpError
from cdp.settings import Settings
from cdp.sources import Source, active_sources, raw_table
from expectations.runner import suites
from ingest.pipeline import Loaded, run_source
from orchestration.checks import run_and_report, specs_of
from orchestration.names import GROUPS, freshness, owners, raw_key
from orchestration.resources import Warehouse

LOADED = "loaded"
RETRIES = 2


def ingest_assets(settings: Settings, after: dict[str, list[dg.AssetKey]]) -> list[dg.AssetsDefinition]:
    """Assets of all active sources. `after`: sources that wait for other assets (what comes back from the syncs)."""
    return [_source_assets(d.value, settings, after.get(n, [])) for n, d in active_sources(settings).items()]


def _source_assets(source: Source, settings: Settings, deps: list[dg.AssetKey]) -> dg.AssetsDefinition:
    tables = {raw_table(source.name, name) for name in source.tables}
    guards = [s for s in suites(settings) if s.schema == "raw" and s.table in tables]
    specs = [
        dg.AssetSpec(
            raw_key(source, name),
            deps=deps,
            group_name=GROUPS["delivery" if source.after_syncs else "raw"],
            kinds={"dlt", "duckdb"},
            owners=owners(source.owner),
            description=f"{table.description} {source.description}",
            metadata={"source": source.name, "kind": source.kind},
            freshness_policy=freshness(source.freshness.warn_after_hours, source.freshness.error_after_hours),
        )
        for name, table in source.tables.items()
    ]
    loaded_checks = [
        dg.AssetCheckSpec(LOADED, asset=raw_key(source, name), description="The source could be read in the last run.")
        for name in source.tables
    ]

    @dg.multi_asset(
        name=f"load_{source.name}",
        specs=specs,
        check_specs=[*loaded_checks, *(spec for suite in guards for spec in specs_of(suite))],
        op_tags={"source": source.name},
    )
    def load(context: AssetExecutionContext, warehouse: Warehouse) -> Iterator[object]:
        loaded, error = _attempt(context, source, warehouse)
        for name in source.tables:
            yield _materialized(source, name, loaded, error)
            yield _loaded_check(source, name, error)
        yield from run_and_report([s.name for s in guards], warehouse)

    return load


def _attempt(
    context: AssetExecutionContext, source: Source, warehouse: Warehouse
) -> tuple[Loaded | None, CdpError | None]:
    """Load; try again later on failure. After the last try the run goes on with what was landed before: one source that is
    down does not hold up the others, and its `loaded` check says so."""
    try:
        return run_source(source, warehouse.settings), None
    except CdpError as error:
        context.log.error(error.render())
        if error.exit_code == 1 and context.retry_number < RETRIES:
            raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=3 * (context.retry_number + 1)) from error
        return None, error


def _materialized(
    source: Source, table: str, loaded: Loaded | None, error: CdpError | None
) -> dg.MaterializeResult[None]:
    metadata: dict[str, Any] = {"rows_loaded": loaded.rows.get(table, 0) if loaded else 0}
    if loaded:
        metadata |= {"rows_quarantined": loaded.quarantined, "schema_changes": loaded.schema_changes}
    if error:
        metadata["error"] = error.render()
    return dg.MaterializeResult(asset_key=raw_key(source, table), metadata=metadata)


def _loaded_check(source: Source, table: str, error: CdpError | None) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=raw_key(source, table),
        check_name=LOADED,
        passed=error is None,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"error": error.render() if error else "none"},
    )
