"""Small pieces of SQL text, and the step that parses, formats and finishes a generated model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import cache

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
THIS = "ref__this__"
HEADER = "-- Generated from declarations by dbt_declarations on every dbt run; do not edit. {what}\n"


@cache
def name(text: str) -> str:
    """An identifier in quotes."""
    return exp.to_identifier(text, quoted=True).sql(dialect=DIALECT)


@cache
def text(value: str) -> str:
    """A text literal."""
    return exp.Literal.string(value).sql(dialect=DIALECT)


def render(typed: Typed) -> str:
    """The SQL of a checked expression."""
    return typed.sql.sql(dialect=DIALECT, comments=False)


def ref(model: str) -> str:
    """A table name that `finish` turns into dbt's ref()."""
    return f"ref__{model}"


def person_number(person_id: str) -> str:
    """The number of a person, as the macro number_of_person of models written by hand has it (macros/engine/hash.sql)."""
    return f"cast(md5_number({person_id}) >> 64 as ubigint)"


def constants(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[object]]) -> str:
    """A select of constant rows; with no row, a select of no row with the same columns. Columns have the declared type even when
    all of their values are null."""
    if not rows:
        return "select " + ", ".join(f"cast(null as {t}) as {name(c)}" for c, t in columns) + " where false"
    listed = ", ".join(f"({', '.join(map(_literal, row))})" for row in rows)
    typed = ", ".join(f"cast({name(c)} as {t}) as {name(c)}" for c, t in columns)
    return f"select {typed} from (values {listed}) as constants ({', '.join(name(c) for c, _ in columns)})"


def _literal(value: object) -> str:
    if value is None:
        return "null"
    return text(str(value)) if isinstance(value, str | date) else str(value).lower()


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


# hashes do not get shorter by packing, and to try it took four fifths of the time of writing a person_id
# For tables of booleans, tables of numbers, and after both.
LOOSE, LOOSE_STRINGS, TIGHT = "{{ pack(strings=false, numbers=false) }}", "{{ pack(strings=false) }}", "{{ pack() }}"


def finish(select: str, *, schema: str, what: str, materialized: str = "table", loosely: bool = False) -> str:
    """A dbt model: the select parsed (so that no broken SQL leaves) and formatted, with ref() and as_of() put in. `loosely`: most of
    what is written are hashes, which are not packed."""
    formatted = sqlglot.parse_one(select, dialect=DIALECT).sql(
        dialect=DIALECT, pretty=True, comments=False, normalize_functions="lower", copy=False
    )
    formatted = formatted.replace("ref__this__", "{{ this }}")
    formatted = re.sub(r'"?\bref__(\w+)"?', r"{{ ref('\1') }}", formatted)
    formatted = formatted.replace(AS_OF, "{{ as_of() }}")
    hooks = f', pre_hook="{LOOSE}", post_hook="{TIGHT}"' if loosely else ""
    config = f"{{{{ config(materialized='{materialized}', schema='{schema}'{hooks}) }}}}\n\n"
    return HEADER.format(what=what) + config + formatted + "\n"
