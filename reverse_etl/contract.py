"""Reads the contract of a `snd_` model from the YAML beside it: columns, types, and the consent it filters on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from cdp.declarations import load
from cdp.errors import DeclarationError
from cdp.settings import Settings
from reverse_etl.destination_spec import FieldType

SCHEMA = "activation"

# DuckDB's names of types, without their parameters, and the kind of field they fill without a cast.
_KINDS: dict[str, FieldType] = {
    "varchar": "text",
    "text": "text",
    "string": "text",
    "uuid": "text",
    "json": "text",
    "tinyint": "integer",
    "smallint": "integer",
    "integer": "integer",
    "int": "integer",
    "bigint": "integer",
    "utinyint": "integer",
    "usmallint": "integer",
    "uinteger": "integer",
    "double": "number",
    "float": "number",
    "real": "number",
    "decimal": "number",
    "numeric": "number",
    "boolean": "boolean",
    "bool": "boolean",
    "date": "date",
    "timestamp": "datetime",
}


class _Column(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str
    data_type: str = ""


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str
    config: dict[str, Any] = {}
    columns: list[_Column] = []


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore")
    models: list[_Model] = []


@dataclass(frozen=True)
class Contract:
    """What dbt promises about a model: column name -> kind of value."""

    model: str
    path: Path
    columns: dict[str, FieldType]
    consent_purpose: str


def names(settings: Settings) -> list[str]:
    """Models that may leave the warehouse."""
    return sorted(path.stem for path in (settings.dbt_dir / "models" / SCHEMA).glob("snd_*.yml"))


def read(model: str, settings: Settings) -> Contract:
    """The contract of a model. Raises DeclarationError when it is missing, not enforced or without consent purpose."""
    path = settings.dbt_dir / "models" / SCHEMA / f"{model}.yml"
    document = load(path, _File)
    found = [(position, m) for position, m in enumerate(document.value.models) if m.name == model]
    if not found:
        raise document.error(("models",), f"does not describe {model}", fix=f"add `- name: {model}`")
    position, candidate = found[0]
    here = ("models", position)
    if not candidate.config.get("contract", {}).get("enforced"):
        raise document.error(
            (*here, "config"),
            "the contract is not enforced",
            expected="config.contract.enforced: true",
            fix="a model that leaves the warehouse promises its columns and types",
        )
    purpose = candidate.config.get("meta", {}).get("consent_purpose")
    if not purpose:
        raise document.error(
            (*here, "config"),
            "no consent purpose is given",
            expected="config.meta.consent_purpose",
            fix="name the purpose that the model's SQL filters on",
        )
    columns: dict[str, FieldType] = {}
    for number, column in enumerate(candidate.columns):
        columns[column.name] = _kind(column, document.where(*here, "columns", number))
    return Contract(model, path, columns, str(purpose))


def _kind(column: _Column, where: str) -> FieldType:
    written = column.data_type.strip().lower()
    if written.endswith("[]"):
        return "list"
    kind = _KINDS.get(written.split("(")[0].strip())
    if kind is None:
        raise DeclarationError(
            f'{column.name}: type "{column.data_type or "(none)"}" cannot be sent',
            where=where,
            expected="one of " + ", ".join(_KINDS) + ", or a list of text as varchar[]",
            fix="convert the column in the model",
        )
    return kind
