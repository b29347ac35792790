"""The columns and types that expressions may use, read from the contracts beside the dbt models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from cdp.errors import DeclarationError

Type = Literal["text", "integer", "number", "boolean", "date", "timestamp", "list", "json", "other", "null", "any"]
FOLDERS = ("conformed", "profiles", "tags", "scores", "segments")
_TYPES: dict[str, Type] = {
    **dict.fromkeys(("varchar", "text", "string", "char"), "text"),
    **dict.fromkeys(("bigint", "integer", "int", "smallint", "tinyint", "hugeint", "ubigint"), "integer"),
    **dict.fromkeys(("double", "float", "real", "decimal", "numeric"), "number"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    "date": "date",
    **dict.fromkeys(("timestamp", "datetime", "timestamptz"), "timestamp"),
    "json": "json",
}


@dataclass(frozen=True)
class Column:
    """A column of a contract. `pii` is the class that `meta: {pii: ...}` of the column names, or none; `filled_later` comes from
    its `meta: {filled_later: true}`: the value changes after the row's own moment, so that no prediction may read it."""

    name: str
    type: Type
    pii: str = "none"
    filled_later: bool = False

    @property
    def is_pii(self) -> bool:
        """Whether the column holds personal data of any class."""
        return self.pii != "none"


@dataclass(frozen=True)
class Contract:
    """The declared columns of one model."""

    model: str
    path: Path
    columns: dict[str, Column]


def column_type(data_type: str) -> Type:
    """The kind of value of a declared `data_type`, e.g. `decimal(18,2)` is a number and `varchar[]` a list."""
    text = data_type.strip().lower()
    if text.endswith("[]"):
        return "list"
    return _TYPES.get(re.split(r"[\s(]", text, maxsplit=1)[0], "other")


def read_contracts(dbt_dir: Path) -> dict[str, Contract]:
    """Every model's columns from `models/<folder>/**/*.yml` of the folders that hold contracts.

    Columns without `data_type` are left out: an expression cannot be checked against them.
    Raises DeclarationError when a file cannot be read.
    """
    contracts: dict[str, Contract] = {}
    for folder in FOLDERS:
        for path in sorted((dbt_dir / "models" / folder).rglob("*.yml")):
            for model in _models_of(path):
                columns = {str(c["name"]): _column(c) for c in model.get("columns") or [] if _is_typed(c)}
                contracts[str(model.get("name"))] = Contract(str(model.get("name")), path, columns)
    return contracts


def _models_of(path: Path) -> list[dict[str, Any]]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506  (a safe loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise DeclarationError(
            "is not valid YAML", where=f"{path}:{line}", fix="check indentation and quotes"
        ) from None
    models = data.get("models") if isinstance(data, dict) else None
    return [m for m in models if isinstance(m, dict)] if isinstance(models, list) else []


def _is_typed(column: Any) -> bool:
    return isinstance(column, dict) and "name" in column and isinstance(column.get("data_type"), str)


def _column(column: dict[str, Any]) -> Column:
    config = column.get("config") or {}
    meta = {**(column.get("meta") or {}), **(config.get("meta") or {})}
    kind = str(column["name"]), column_type(column["data_type"])
    return Column(*kind, str(meta.get("pii") or "none"), meta.get("filled_later") is True)


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
