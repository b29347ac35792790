"""What is known about a table's columns before it exists: from the source's YAML (raw) or the model's YAML (dbt)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from cdp.declarations import Document
from cdp.errors import DeclarationError
from cdp.settings import Settings
from cdp.sources import Source, all_sources, raw_table

SCHEMAS = ["raw", "conformed", "identity", "profiles", "tags", "scores", "segments", "activation"]
# Every landed row has these beside its declared columns (ingest writes them, dlt the last two).
_LANDED = ["_cdp_sequence", "_cdp_origin", "_cdp_row", "_dlt_load_id", "_dlt_id"]


@dataclass(frozen=True)
class Columns:
    """The columns of a table. `names` is None when they are not declared completely: then none can be called wrong."""

    names: tuple[str, ...] | None
    pii: frozenset[str] = frozenset()


@dataclass
class Catalog:
    """Every table that a suite may guard. Read once per call of `suites`; reads only YAML, never the warehouse."""

    settings: Settings
    _read: dict[str, dict[str, Columns]] = field(default_factory=dict, repr=False)

    @cached_property
    def sources(self) -> dict[str, Document[Source]]:
        """Every declared source, active or not."""
        return all_sources(self.settings)

    @cached_property
    def raw(self) -> dict[str, Columns]:
        """The raw tables."""
        found: dict[str, Columns] = {}
        for name, document in self.sources.items():
            for table_name, table in document.value.tables.items():
                pii = frozenset(n for n, column in table.columns.items() if column.pii != "none")
                found[raw_table(name, table_name)] = Columns((*table.columns, *_LANDED), pii)
        return found

    @cached_property
    def pii_names(self) -> frozenset[str]:
        """Names of columns that hold personal data in any source; models keep these names."""
        return frozenset(name for columns in self.raw.values() for name in columns.pii)

    def tables(self, schema: str) -> dict[str, Columns]:
        """The tables of a schema by name. Raises DeclarationError for a model YAML that cannot be read."""
        if schema not in self._read:
            self._read[schema] = self.raw if schema == "raw" else self._models(schema)
        return self._read[schema]

    def _models(self, schema: str) -> dict[str, Columns]:
        models = self.settings.dbt_dir / "models"
        found: dict[str, Columns] = {}
        for folder in (models / schema, models / "generated" / schema):
            for path in sorted(folder.glob("*.sql")):
                found[path.stem] = Columns(None, self.pii_names)
            for path in sorted(folder.glob("*.yml")):
                for model in _models_of(path):
                    if model["name"] in found and _has_contract(model):
                        found[model["name"]] = self._columns(model)
        return found

    def _columns(self, model: dict[str, Any]) -> Columns:
        columns = [c for c in model.get("columns") or [] if isinstance(c, dict) and "name" in c]
        pii = {c["name"] for c in columns if _meta(c).get("pii", "none") != "none"}
        return Columns(tuple(c["name"] for c in columns), frozenset(pii) | self.pii_names)


def _models_of(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise DeclarationError("is not valid YAML", where=f"{path}:{mark.line + 1 if mark else 1}") from None
    models = content.get("models") if isinstance(content, dict) else None
    return [model for model in models or [] if isinstance(model, dict) and "name" in model]


def _has_contract(model: dict[str, Any]) -> bool:
    contract = (model.get("config") or {}).get("contract") or {}
    return bool(contract.get("enforced"))


def _meta(column: dict[str, Any]) -> dict[str, Any]:
    return {**(column.get("meta") or {}), **((column.get("config") or {}).get("meta") or {})}
