"""dbt's models as assets, in three steps: up to the profiles, up to activation, and what comes back from deliveries."""

# no `from __future__ import annotations`: Dagster reads the annotations of step functions as classes

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext
from dagster_dbt import DbtCliResource, dbt_assets

from cdp.plots import plots_of
from cdp.status import row_counts
from orchestration.gates import held_back
from orchestration.names import Translator
from orchestration.resources import FULL_REFRESH_TAG, Warehouse

_ACTIVATION = "tributary.tags tributary.scores tributary.segments tributary.activation " + " ".join(
    f"tributary.generated.{part}" for part in ("tags", "scores", "segments")
)
_DELIVERY = "tributary.delivery tributary.staging.reverse_etl"

# step -> (selection, exclusion) in dbt's words. What belongs to no later step belongs to the first: no model is left out.
STEPS = {
    "build_profiles": ("fqn:*", f"{_ACTIVATION} {_DELIVERY}"),
    "build_activation": (_ACTIVATION, ""),
    "build_delivery": (_DELIVERY, ""),
}


def dbt_steps(manifest: Path, blocking: list[dg.AssetCheckKey]) -> list[dg.AssetsDefinition]:
    """The steps' assets. Models behind a failing blocking check are left out of a step; so is what dbt's own tests stop."""
    return [_step(name, manifest, select, exclude, blocking) for name, (select, exclude) in STEPS.items()]


def _step(
    name: str, manifest: Path, select: str, exclude: str, blocking: list[dg.AssetCheckKey]
) -> dg.AssetsDefinition:
    @dbt_assets(
        manifest=manifest,
        select=select,
        exclude=exclude,
        name=name,
        dagster_dbt_translator=Translator(),
    )
    def build(context: AssetExecutionContext, dbt: DbtCliResource, warehouse: Warehouse) -> Iterator[object]:
        stopped = held_back(context.instance, blocking)
        arguments = [
            "build",
            # what a model computes from given rows changes with its code, not with the data: `make test` runs these
            "--exclude-resource-type=unit_test",
            *(["--full-refresh"] if context.run.tags.get(FULL_REFRESH_TAG) else []),
            *_left_out(stopped),
        ]
        for key, check in stopped.items():
            context.log.warning(f"{key.to_user_string()} failed {check}: what depends on it is left as it was")
        invocation = dbt.cli(arguments, context=context, raise_on_error=False)
        try:
            events = list(invocation.stream())
        finally:
            _end(invocation)
        yield from _with_metadata(events, warehouse)
        _raise_broken(invocation)

    return build


def _end(invocation: Any) -> None:
    """dbt does not outlive its step: it holds the warehouse."""
    if invocation.process.poll() is None:
        invocation.process.terminate()
        invocation.process.wait()


def _raise_broken(invocation: Any) -> None:
    """A data test that fails is a check, and holds back what depends on it. A model that cannot be built is broken code: that
    fails the step. Raises dagster's Failure naming each."""
    if invocation.is_successful():
        return
    try:
        results = invocation.get_artifact("run_results.json")["results"]
    except (OSError, ValueError):
        raise dg.Failure("dbt ended before it built anything: " + _last_words(invocation)) from None
    broken = [r for r in results if r["status"] == "error"]
    if broken:
        lines = [f"{r['unique_id']}: {' '.join(str(r['message'] or '').split())[:400]}" for r in broken]
        raise dg.Failure("dbt could not build " + "; ".join(lines))


def _last_words(invocation: Any) -> str:
    error = invocation.get_error()
    return " ".join(str(error).split())[:1000] if error else "see the step's output"


def _left_out(stopped: dict[dg.AssetKey, str]) -> list[str]:
    """dbt's arguments that leave out all that depends on the given assets."""
    selectors = [f"source:raw.{k.path[-1]}+" if k.path[0] == "raw" else f"{k.path[-1]}+" for k in stopped]
    return ["--exclude", *selectors] if selectors else []


def _with_metadata(events: list[object], warehouse: Warehouse) -> Iterator[object]:
    """dbt's events with row counts and plots, which can be read only once dbt has let go of the file."""
    counts = row_counts(warehouse.settings)
    for event in events:
        if isinstance(event, dg.Output):
            name = str((event.metadata or {}).get("unique_id", "")).split(".")[-1]
            extra = counts.get(name)
            added: dict[str, Any] = {"dagster/row_count": extra} if extra is not None else {}
            added |= {n: dg.MetadataValue.md(md) for n, md in plots_of(name, warehouse.settings).items()}
            event = dg.Output(event.value, event.output_name, metadata={**(event.metadata or {}), **added})
        yield event
