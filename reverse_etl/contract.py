"""What a sync's source promises: the contract of a `snd_` model from the YAML beside it, a declared file, or events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlglot import exp

from cdp.declarations import load
from cdp.errors import DeclarationError
from cdp.settings import Settings
from reverse_etl.declaration import FileSource
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

_FILE_TYPES: dict[FieldType, str] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "datetime": "TIMESTAMP",
    "list": "VARCHAR[]",
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
    """What is promised about a source: column name -> kind of value. `files`: a path pattern instead of a model; `query`: SQL
    over models of other schemas. `models`: what it is made of, as `schema.model`."""

    model: str
    columns: dict[str, FieldType]
    consent_purpose: str
    files: Path | None = None
    query: str | None = None
    models: tuple[str, ...] = ()

    @property
    def relation(self) -> str:
        """The source in SQL."""
        if self.query is not None:
            return f"({self.query}) as chosen"
        if self.files is None:
            return f"{_identifier(SCHEMA)}.{_identifier(self.model)}"
        path = exp.Literal.string(str(self.files)).sql("duckdb")
        if self.files.suffix == ".parquet":
            return f"read_parquet({path})"
        types = ", ".join(
            f"{exp.Literal.string(name).sql('duckdb')}: '{_FILE_TYPES[kind]}'" for name, kind in self.columns.items()
        )
        return f"read_csv({path}, header = true, types = {{{types}}}, nullstr = '', quote = '\"', escape = '\"')"


def of_file(source: FileSource, consent_purpose: str, settings: Settings) -> Contract:
    """The contract that a sync declares for its files."""
    return Contract(source.file, dict(source.columns), consent_purpose, settings.landing_path / source.file)


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
    return Contract(model, columns, str(purpose), models=(f"{SCHEMA}.{model}",))


def _identifier(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("duckdb")


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
