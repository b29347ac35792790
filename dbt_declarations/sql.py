"""Small pieces of SQL text, and the step that parses, formats and finishes a generated model."""

from __future__ import annotations

import hashlib
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


def finish(select: str, *, schema: str, what: str, materialized: str = "table", header: bool = True) -> str:
    """A dbt model: the select parsed (so that no broken SQL leaves) and formatted, with ref() and as_of() put in."""
    formatted = sqlglot.parse_one(select, dialect=DIALECT).sql(
        dialect=DIALECT, pretty=True, comments=False, normalize_functions="lower", copy=False
    )
    formatted = formatted.replace("ref__this__", "{{ this }}")
    formatted = re.sub(r'"?\bref__(\w+)"?', r"{{ ref('\1') }}", formatted)
    formatted = formatted.replace(AS_OF, "{{ as_of() }}")
    config = f"{{{{ config(materialized='{materialized}', schema='{schema}') }}}}\n\n"
    return HEADER.format(what=what) + config + formatted + "\n"


def kept_config(schema: str, persons: str) -> str:
    """The config of a table of persons that is kept from run to run: the rows that a run selects take the place of those of the
    same persons, and who is not in the model `persons` any more is removed."""
    # a table of a warehouse from before it was kept has no digest: then every row is another one
    gone = "alter table {{ this }} add column if not exists digest ubigint;"
    gone += f" delete from {{{{ this }}}} where person_id not in (select person_id from {{{{ ref('{persons}') }}}})"
    # hashes do not get shorter by packing, and to try it took four fifths of the time of writing a person_id
    hooks = f'pre_hook=["{{{{ pack_strings(false) }}}}", "{{% if is_incremental() %}}{gone}{{% endif %}}"],'
    hooks += ' post_hook="{{ pack_strings(true) }}"'
    return (
        f"-- depends_on: {{{{ ref('{persons}') }}}}\n"
        f"{{{{ config(materialized='incremental', schema='{schema}', incremental_strategy='delete+insert', unique_key='person_id',"
        f" on_schema_change='sync_all_columns', {hooks}) }}}}\n\n"
    )


def finish_kept(
    steps: str,
    columns: Sequence[str],
    last: str,
    *,
    schema: str,
    what: str,
    also: Sequence[str] = (),
    declared: str = "",
) -> str:
    """A dbt model that computes everybody's columns from `last` of the steps and writes those of whom anything has changed: a row has
    the digest of its columns, and the `as_of` of the run that wrote it. Computing is cheap, writing is what takes the time.
    `also`: what else the digest is made from, without being a column; `declared`: what a change of writes everybody again."""
    listed = ", ".join(columns)
    version = hashlib.sha256(f"{listed}{declared}".encode()).hexdigest()[:16]
    digested = ", ".join([*columns, *also, text(version)])
    final = f"final as (select {listed}, hash({digested}) as digest, {AS_OF} as written_at from {last})"
    whole = finish(f"{steps}, {final} select * from final", schema=schema, what=what)
    head, body = whole.split("\n\n", 1)
    known = "anti join {{ this }} as kept on kept.person_id = final.person_id and kept.digest = final.digest"
    return (
        head.split("\n", 1)[0]
        + "\n"
        + kept_config(schema, "audience")
        + body
        + f"{{% if is_incremental() %}}{known}{{% endif %}}\n"
    )
