"""The conformed layer's shapes (dbt_project/conformed.yml), and what the sources say they provide, checked."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from cdp.declarations import Declaration, Document, load, suggest
from cdp.settings import Settings
from cdp.sources import Provides, Source
from dbt_declarations.tracking import enforcement_versions


class ShapeColumn(Declaration):
    """A column of a shape."""

    type: str = Field(description="DuckDB type.")
    required: bool = Field(False, description="A source that provides the shape must map it; its rows may not lack it.")
    description: str


class Shape(Declaration):
    """One model of the conformed layer."""

    description: str
    key: list[str] = Field(min_length=1, description="With the source: the key of a row.")
    first_wins: bool = Field(False, description="Of several rows of one key the first arrived counts; incremental.")
    money: bool = Field(False, description="Adds value: amount in the reporting currency.")
    columns: dict[str, ShapeColumn]
    derived: dict[str, str] = Field(default_factory=dict, description="Further columns as SQL over the others.")


class Conformed(Declaration):
    """dbt_project/conformed.yml."""

    shapes: dict[str, Shape]


@dataclass(frozen=True)
class Provider:
    """One entry of a source's `conformed:` list; `version` changes with everything that decides its rows."""

    document: Document[Source]
    position: int
    version: str

    @property
    def provides(self) -> Provides:
        """The declared entry."""
        return self.document.value.conformed[self.position]

    @property
    def source(self) -> str:
        """Name of the source."""
        return self.document.value.name

    def expression(self, *keys: str) -> str:
        """The SQL expression declared at `keys`, checked and written anew. Raises DeclarationError."""
        value: Any = self.provides.model_dump()
        for key in keys:
            value = value[key]
        return check_expression(self.document, ("conformed", self.position, *keys), value)


def load_shapes(settings: Settings) -> Document[Conformed]:
    """Read conformed.yml."""
    return load(settings.dbt_dir / "conformed.yml", Conformed)


def identifier_types(settings: Settings) -> dict[str, dict[str, str]]:
    """Rows of seeds/identity/identifier_types.csv by name."""
    path = settings.dbt_dir / "seeds" / "identity" / "identifier_types.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def providers(sources: dict[str, Document[Source]], settings: Settings) -> list[Provider]:
    """All entries of the active sources, with their versions. Raises DeclarationError for what does not exist."""
    shapes = load_shapes(settings).value.shapes
    types = identifier_types(settings)
    enforced = enforcement_versions(settings)
    staging = {path.stem: path for path in sorted((settings.dbt_dir / "models" / "staging").rglob("*.sql"))}
    found = []
    for document in sources.values():
        for position, provides in enumerate(document.value.conformed):
            keys = ("conformed", position)
            if provides.model not in staging:
                raise document.error(
                    (*keys, "model"),
                    f'no staging model "{provides.model}"',
                    expected="a file dbt_project/models/staging/**/<model>.sql",
                    fix=suggest(provides.model, list(staging)),
                )
            for name in provides.identifiers:
                if name not in types:
                    raise document.error(
                        (*keys, "identifiers", name),
                        f'unknown identifier type "{name}"',
                        expected="a name in dbt_project/seeds/identity/identifier_types.csv",
                        fix=suggest(name, list(types)),
                    )
            for name, columns in provides.shapes().items():
                _check_shape(document, position, name, columns, shapes)
            text = staging[provides.model].read_text(encoding="utf-8") + provides.model_dump_json()
            text += str(sorted(types.items())) if provides.identifiers else ""
            # a plan that blocks or drops otherwise lets other rows through
            text += enforced.get(document.value.name, "")
            version = hashlib.sha256(text.encode()).hexdigest()[:12]
            found.append(Provider(document, position, version))
    return found


def _check_shape(
    document: Document[Source], position: int, name: str, columns: dict[str, str], shapes: dict[str, Shape]
) -> None:
    keys = ("conformed", position, name)
    if name not in shapes:
        known = ["model", "when", "identifiers", "attributes", *shapes]
        raise document.error(keys, "unknown key", expected="one of " + ", ".join(known), fix=suggest(name, known))
    accepted = shapes[name].columns
    for column in columns:
        if column not in accepted:
            raise document.error(
                (*keys, column),
                f'the shape "{name}" has no such column',
                expected="one of " + ", ".join(accepted),
                fix=suggest(column, list(accepted)),
            )
    for column, spec in accepted.items():
        if spec.required and column not in columns:
            raise document.error(
                keys, f'the column "{column}" is required but missing', fix=f'add "{column}: <expression>"'
            )


def check_expression(document: Document[Any], keys: tuple[str | int, ...], text: str) -> str:
    """Parse a declared scalar expression; no subquery, aggregate, window or statement. Returns it as DuckDB SQL."""
    try:
        tree = parse_one(text, dialect="duckdb")
    except SqlglotError as error:
        raise document.error(keys, f'is not a SQL expression: "{text}"', expected=str(error).splitlines()[0]) from None
    for kind, name in (
        (exp.Query, "a subquery"),
        (exp.AggFunc, "an aggregate"),
        (exp.Window, "a window"),
        (exp.DDL, "a statement"),
        (exp.Command, "a statement"),
    ):
        if tree.find(kind):
            raise document.error(
                keys,
                f'{name} does not belong here: "{text}"',
                expected="an expression over one row of the staging model",
            )
    return tree.sql(dialect="duckdb")


def model_name(shape: str) -> str:
    """Name of a shape's model; `order` is a word of SQL, and `account` is the profile."""
    return {"order": "orders", "account": "account_record"}.get(shape, shape)
