"""Small pieces of SQL text, and the step that parses, formats and finishes a generated model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import sqlglot
from sqlglot import exp

from dbt_declarations.contracts import Type
from dbt_declarations.functions import DIALECT
from dbt_declarations.kinds.base import Dated
from dbt_declarations.scope import AS_OF
from dbt_declarations.value_types import Typed

DATA_TYPES: dict[Type, str] = {
    "text": "varchar",
    "integer": "bigint",
    "number": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "list": "varchar[]",
}
# Sums of money and points run in decimals: a sum of doubles depends on the order in which threads deliver rows.
EXACT = "decimal(38, 6)"
POINTS = "decimal(18, 2)"
HEADER = "-- Generated from declarations by dbt_declarations on every dbt run; do not edit. {what}\n"


def name(text: str) -> str:
    """An identifier in quotes."""
    return exp.to_identifier(text, quoted=True).sql(dialect=DIALECT)


def text(value: str) -> str:
    """A text literal."""
    return exp.Literal.string(value).sql(dialect=DIALECT)


def render(typed: Typed) -> str:
    """The SQL of a checked expression."""
    return typed.sql.sql(dialect=DIALECT, comments=False)


def ref(model: str) -> str:
    """A table name that `finish` turns into dbt's ref()."""
    return f"ref__{model}"


def literal(value: object, data_type: str) -> str:
    """A constant with its type, so that columns of constants have the declared type even when all are null."""
    if value is None:
        return f"cast(null as {data_type})"
    shown = text(str(value)) if isinstance(value, str | date) else str(value).lower()
    return f"cast({shown} as {data_type})"


def constants(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[object]]) -> str:
    """A select of constant rows; with no row, a select of no row with the same columns."""
    selects = [
        "select " + ", ".join(f"{literal(v, t)} as {name(c)}" for v, (c, t) in zip(row, columns, strict=True))
        for row in rows
    ]
    empty = "select " + ", ".join(f"{literal(None, t)} as {name(c)}" for c, t in columns) + " where false"
    return "\nunion all\n".join(selects or [empty])


def active(dated: Dated) -> str | None:
    """The condition under which a dated declaration holds at as_of; None when it always does."""
    parts = []
    if dated.since:
        parts.append(f"{AS_OF} >= timestamp {text(f'{dated.since} 00:00:00')}")
    if dated.expires:
        parts.append(f"{AS_OF} < timestamp {text(f'{dated.expires} 00:00:00')}")
    return " and ".join(parts) or None


def while_active(dated: Dated | None, value: str) -> str:
    """The value, or null on days on which the declaration does not hold."""
    condition = active(dated) if dated else None
    return f"case when {condition} then {value} end" if condition else value


def finish(select: str, *, schema: str, what: str, materialized: str = "table", header: bool = True) -> str:
    """A dbt model: the select parsed (so that no broken SQL leaves) and formatted, with ref() and as_of() put in."""
    formatted = sqlglot.parse_one(select, dialect=DIALECT).sql(
        dialect=DIALECT, pretty=True, comments=False, normalize_functions="lower"
    )
    formatted = formatted.replace("ref__this__", "{{ this }}")
    formatted = re.sub(r'"?\bref__(\w+)"?', r"{{ ref('\1') }}", formatted)
    formatted = formatted.replace(AS_OF, "{{ as_of() }}")
    config = f"{{{{ config(materialized='{materialized}', schema='{schema}') }}}}\n\n"
    return HEADER.format(what=what) + config + formatted + "\n"
