"""How things are called in Dagster: keys, groups in the order of the flow, owners."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings

from cdp.sources import Source, raw_table

# Folder of models -> group. The UI sorts groups by name, so the number keeps the flow's order.
GROUPS = {
    "raw": "g01_raw",
    "seeds": "g02_seeds",
    "staging": "g03_staging",
    "tracking": "g03_staging",  # judged before staging, which leaves out what is blocked
    "conformed": "g04_conformed",
    "events": "g04_conformed",
    "identity": "g05_identity",
    "profiles": "g06_profiles",
    "models": "g07_models",  # before tags and scores, which may ask what they predict
    "tags": "g07_tags",
    "scores": "g08_scores",
    "segments": "g09_segments",
    "activation": "g10_activation",
    "destinations": "g11_destinations",
    "delivery": "g12_delivery",
}
# Models of the schema of scores that only hand on what the trained models wrote.
_PREDICTIONS = ("person_prediction", "account_prediction")


def raw_key(source: Source, table: str) -> dg.AssetKey:
    """Asset key of a landed table."""
    return dg.AssetKey(["raw", raw_table(source.name, table)])


def owners(text: str | None) -> list[str]:
    """Dagster's owners from a declaration's owner: an e-mail address, or the name of a team."""
    if not text:
        return ["team:data"]
    return [text if "@" in text else f"team:{text}"]


def freshness(warn_after_hours: float, error_after_hours: float | None) -> dg.FreshnessPolicy:
    """How old an asset may be; without a limit for errors, a week over the warning."""
    warn = timedelta(hours=warn_after_hours)
    error = timedelta(hours=error_after_hours) if error_after_hours else warn + timedelta(days=7)
    return dg.FreshnessPolicy.time_window(fail_window=error, warn_window=warn)


class Translator(DagsterDbtTranslator):
    """Asset keys are [schema, model]; groups are folders; tests become checks."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_asset_checks=True, enable_source_tests_as_checks=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """[schema, name]; a source's key is declared with it."""
        declared = (dbt_resource_props.get("config", {}).get("meta") or {}).get("dagster", {}).get("asset_key")
        if declared:
            return dg.AssetKey(declared)
        return dg.AssetKey([str(dbt_resource_props["schema"]), str(dbt_resource_props["name"])])

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> dg.AssetSpec:
        """What people and destinations read is watched for freshness."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        if spec.key.path[0] in ("profiles", "segments", "activation"):
            return spec.replace_attributes(freshness_policy=freshness(warn_after_hours=25, error_after_hours=None))
        return spec

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The group of the model's schema."""
        if list(dbt_resource_props.get("fqn", []))[1:3] == ["staging", "reverse_etl"]:
            return GROUPS["delivery"]  # among the first groups it would close a circle of groups
        if dbt_resource_props["name"] in _PREDICTIONS:
            return GROUPS["models"]
        return GROUPS.get(str(dbt_resource_props["schema"]), "g00_other")

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """The declared owner, else the data team."""
        meta = dbt_resource_props.get("config", {}).get("meta") or dbt_resource_props.get("meta") or {}
        return owners(meta.get("owner"))
