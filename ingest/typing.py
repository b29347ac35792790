"""Gives a batch of rows its types and splits off what cannot be read.

A batch comes as SQL over one DuckDB relation of text (JSON lines, CSV) or of typed columns (Parquet). It leaves as an
Arrow table with the declared columns, the undeclared ones it also had, and the columns every raw row has:

    _cdp_sequence  bigint  the row's ingestion sequence
    _cdp_origin    text    file or endpoint it came from
    _cdp_row       bigint  line or row in that origin, from 1

A value that does not fit its column is kept as text in `<column>__v_text`, beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from cdp.sources import Column, Table
from ingest.values import DUCKDB_TYPES, as_text, value_sql

VARIANT = "__v_text"
# What an object holds beyond the columns a table can have; see json_rows.
OVERFLOW = "_cdp_rest"
_REASON = "_cdp_reason"


@dataclass(frozen=True)
class Field:
    """One field of a relation: its name at the source, the relation's column and that column's DuckDB type.

    `suggested`: the type that a new column gets, where it differs.
    """

    name: str
    column: str
    type: str
    suggested: str | None = None


@dataclass(frozen=True)
class Relation:
    """Rows of a batch. `sql` selects a column for each of `fields`, and

    _row  bigint, from 0, below `numbers`;  _origin  text;  _position  bigint, from 1 in the origin;
    _original  text as it was read;  _header  text of the header it belongs to, or null
    """

    sql: str
    fields: list[Field]
    numbers: int


@dataclass(frozen=True)
class Rejected:
    """One row that could not be read. `position` counts from 1 in its origin; 0 means the whole origin."""

    origin: str
    position: int
    reason: str
    original: str
    header: str | None = None


@dataclass
class Typed:
    """The outcome of one batch. `undeclared`: types of the undeclared columns it has; `variants`: values that did not fit,
    by column."""

    rows: pa.Table
    rejected: list[Rejected]
    undeclared: dict[str, str] = field(default_factory=dict)
    variants: dict[str, int] = field(default_factory=dict)


def quoted(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def literal(text: str) -> str:
    """A text as a SQL literal."""
    return exp.Literal.string(text).sql(dialect="duckdb")


def column_name(field_name: str) -> str:
    """A source's field name as a column: snake_case, letters of any script kept (`InvoiceNo` -> `invoice_no`).

    Never holds a double underscore or starts with one, so that it cannot be taken for a column of ours or of dlt.
    """
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", field_name.strip())
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"[\W_]+", "_", name).lower().strip("_") or "column"
    return f"c_{name}" if name[0].isdigit() else name


def column_names(fields: list[Field], table: Table) -> dict[str, Field]:
    """Column -> field. Declared columns take their field first; a second field of the same name gets a number."""
    declared = {column.from_field or name: name for name, column in table.columns.items()}
    names: dict[str, Field] = {}
    others: list[Field] = []
    for found in fields:
        name = OVERFLOW if found.name == OVERFLOW else declared.get(found.name)
        if name is None or name in names:
            others.append(found)
        else:
            names[name] = found
    # a field that is written like its column keeps the plain name, whatever else is written nearly so
    for found in sorted(others, key=lambda f: column_name(f.name) != f.name):
        base = name = column_name(found.name)
        count = 2
        while name in names or name in table.columns:
            name, count = f"{base}_{count}", count + 1
        names[name] = found
    return names


def type_rows(
    con: duckdb.DuckDBPyConnection, relation: Relation, table: Table, known: dict[str, str], first: int
) -> Typed:
    """Type the rows of `relation`; row n gets the ingestion number `first` + n.

    `known` maps the columns landed earlier to their DuckDB types (declared ones need not be in it). Rows whose
    `required` columns are missing or do not fit are rejected with the reason. Cost: one scan of the batch.
    """
    names = column_names(relation.fields, table)
    types = {name: DUCKDB_TYPES[column.type] for name, column in table.columns.items()}
    types |= {n: t for n, t in known.items() if n not in types and not n.endswith(VARIANT)}
    types |= {n: f.suggested or f.type for n, f in names.items() if n not in types}
    query = _query(relation, table, names, types, first)
    rows = con.sql(query).to_arrow_table()
    reasons = rows.column(_REASON)
    rejected: list[Rejected] = []
    if reasons.null_count < len(reasons):
        rejected = _rejected(con, relation, rows)
        rows = rows.filter(pc.is_null(reasons))
    variants: dict[str, int] = {}
    dropped = [_REASON, "_row"]
    for name in types:
        column = name + VARIANT
        if column not in rows.column_names:
            continue
        values = rows.column(column)
        if values.null_count < len(values):
            variants[name] = len(values) - values.null_count
        elif column not in known:  # once landed it is always written, so that the shape of the files stays the same
            dropped.append(column)
    undeclared = {name: types[name] for name in names if name not in table.columns}
    return Typed(rows.drop_columns(dropped), rejected, undeclared, variants)


def _query(relation: Relation, table: Table, names: dict[str, Field], types: dict[str, str], first: int) -> str:
    columns = {name: table.columns.get(name, _UNDECLARED) for name in types}
    values, texts = {}, {}
    for name, type_ in types.items():
        found = names.get(name)
        if found is None:
            values[name] = f"null::{type_}"
            continue
        value = value_sql(quoted(found.column), found.type, type_, columns[name], decimal_comma=table.decimal_comma)
        values[name] = value
        if value not in (quoted(found.column), as_text(quoted(found.column), found.type)):
            texts[name] = as_text(quoted(found.column), found.type)
    inner = ", ".join(
        ["_row", "_origin", "_position"]
        + [f"{value} as {quoted(name)}" for name, value in values.items()]
        + [f"{text} as {quoted('text ' + name)}" for name, text in texts.items()]
    )
    misfit = {n: f"{quoted('text ' + n)} is not null and {quoted(n)} is null" for n in texts}
    blank_fits = {n for n in texts if columns[n].type != "text"}
    for name in blank_fits:
        misfit[name] += f" and trim({quoted('text ' + name)}) <> ''"
    outer = ", ".join(
        [quoted(name) for name in types]
        + [f"case when {m} then {quoted('text ' + n)} end as {quoted(n + VARIANT)}" for n, m in misfit.items()]
        + [
            f"(_row + {first})::bigint as _cdp_sequence",
            "_origin as _cdp_origin",
            "_position as _cdp_row",
            "_row",
            f"{_reason(table, names, misfit)} as {_REASON}",
        ]
    )
    return f"select {outer} from (select {inner} from ({relation.sql}))"


_UNDECLARED = Column(type="text")


def _reason(table: Table, names: dict[str, Field], misfit: dict[str, str]) -> str:
    cases = []
    for name in table.required:
        if name not in names:
            return literal(f"{name}: is required but missing")
        if name in misfit:
            cases.append(f"when {misfit[name]} then {literal(f'{name}: {table.columns[name].misfit()}')}")
        blank = f" or trim({quoted(name)}) = ''" if table.columns[name].type == "text" else ""
        empty = f"{quoted(name)} is null{blank}"
        cases.append(f"when {empty} then {literal(f'{name}: is required but missing')}")
    return f"case {' '.join(cases)} end" if cases else "null::varchar"


def _rejected(con: duckdb.DuckDBPyConnection, relation: Relation, rows: pa.Table) -> list[Rejected]:
    """The rejected rows with their original text, in the order of the batch."""
    bad = rows.select(["_row", _REASON]).filter(pc.is_valid(rows.column(_REASON)))
    con.register("cdp_rejected", bad)
    try:
        found = con.execute(
            f"select _origin, _position, {_REASON}, _original, _header from ({relation.sql}) inner join cdp_rejected "
            "using (_row) order by _row"
        ).fetchall()
    finally:
        con.unregister("cdp_rejected")
    return [Rejected(*row) for row in found]
