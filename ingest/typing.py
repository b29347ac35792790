"""Gives a batch of rows its types and splits off what cannot be read.

A batch comes as one DuckDB relation of text (JSON lines, CSV) or of typed columns (Parquet, SQL). It leaves as an Arrow
table with the declared columns, the undeclared ones it also had, and the columns every raw row has:

    _cdp_sequence  bigint  the row's ingestion sequence
    _cdp_origin    text    file or endpoint it came from
    _cdp_row       bigint  line or row in that origin, from 1

A value that does not fit its column's type is kept as text in `<column>__v_text`, beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa
from sqlglot import exp

from cdp.sources import Table

DUCKDB_TYPES = {
    "text": "VARCHAR",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    "json": "JSON",
}
VARIANT = "__v_text"
INTERNAL = ("_row", "_origin", "_position", "_original")


def column_name(field_name: str) -> str:
    """A source's field name as a column: snake_case, letters of any script kept (`InvoiceNo` -> `invoice_no`)."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", field_name.strip())
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"[^\w]+", "_", name).lower().strip("_") or "column"
    return f"c_{name}" if name[0].isdigit() else name


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
    """The outcome of one batch."""

    rows: pa.Table
    rejected: list[Rejected]
    new_columns: dict[str, str] = field(default_factory=dict)
    variants: dict[str, int] = field(default_factory=dict)


def quoted(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def literal(text: str) -> str:
    """A text as a SQL literal."""
    return exp.Literal.string(text).sql(dialect="duckdb")


def type_rows(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    fields: dict[str, str],
    table: Table,
    known: dict[str, str],
    take: Callable[[int], int],
) -> Typed:
    """Type the rows of `relation`, which has one column per field and

        _row  bigint, their order;  _origin  text;  _position  bigint, from 1 in the origin;  _original  text

    `take(n)` gives the first of n ingestion numbers.
    `fields` maps the relation's columns to their DuckDB types, `known` the columns landed earlier to theirs (declared
    ones need not be in it). Rows whose `required` columns are missing or do not fit are rejected with the reason.
    Cost: two scans of the batch.
    """
    names = _names(fields, table)
    wanted = {name: DUCKDB_TYPES[column.type] for name, column in table.columns.items()}
    new = {n: fields[f] for n, f in names.items() if n not in wanted and n not in known and not n.endswith(VARIANT)}
    types = wanted | {n: t for n, t in known.items() if n in names and n not in wanted} | new
    values = {
        name: _value(quoted(names[name]), fields[names[name]], type_, table.decimal_comma) if name in names else None
        for name, type_ in types.items()
    }
    bad = {
        name: f"({quoted(names[name])} is not null and ({value}) is null)"
        for name, value in values.items()
        if value is not None and types[name] != "VARCHAR" and types[name] != fields[names[name]]
    }
    reason = _reason(table, names, values, bad)
    con.execute(
        "create or replace temp table typed as select _row, _origin, _position, _original, "
        + ", ".join([f"({v or f'null::{types[n]}'}) as {quoted(n)}" for n, v in values.items()] or ["1 as _none"])
        + "".join(f", {condition} as {quoted('bad ' + n)}" for n, condition in bad.items())
        + "".join(f", {_text(quoted(names[n]), fields[names[n]])} as {quoted('text ' + n)}" for n in bad)
        + f", {reason} as _reason from {relation}"
    )
    counts = con.execute(
        "select count(*), count(*) filter (where _reason is not null)"
        + "".join(f", count(*) filter (where _reason is null and {quoted('bad ' + n)})" for n in bad)
        + " from typed"
    ).fetchall()[0]
    variants = {n: c for n, c in zip(bad, counts[2:], strict=True) if c}
    rejected = []
    if counts[1]:
        found = con.execute("select _origin, _position, _reason, _original from typed where _reason is not null order by _row").fetchall()
        rejected = [Rejected(*row) for row in found]
    first_sequence = take(counts[0] - counts[1]) if counts[0] > counts[1] else 1
    select = ", ".join(
        [quoted(n) for n in values]
        + [f"case when {quoted('bad ' + n)} then {quoted('text ' + n)} end as {quoted(n + VARIANT)}" for n in variants]
        + [
            f"(row_number() over (order by _row) + {first_sequence - 1})::bigint as _cdp_sequence",
            "_origin as _cdp_origin",
            "_position as _cdp_row",
        ]
    )
    rows = con.sql(f"select {select} from typed where _reason is null order by _row").to_arrow_table()
    return Typed(rows, rejected, new, variants)


def _names(fields: dict[str, str], table: Table) -> dict[str, str]:
    """Column name -> field of the relation; a second field of the same name gets a number."""
    declared = {column.from_field or name: name for name, column in table.columns.items()}
    names: dict[str, str] = {}
    for field_name in fields:
        if field_name.startswith("_cdp") or field_name in INTERNAL:
            continue
        name = declared.get(field_name) or column_name(field_name)
        base, count = name, 2
        while name in names:
            name, count = f"{base}_{count}", count + 1
        names[name] = field_name
    return names


def _value(column: str, found: str, wanted: str, decimal_comma: bool) -> str:
    """The column as `wanted`, null where it does not fit; blank text counts as missing except in text columns."""
    if found == wanted:
        return column
    if wanted == "VARCHAR":
        return _text(column, found)
    if found != "VARCHAR":
        return f"try_cast({column} as {wanted})"
    if wanted == "JSON":
        return f"case when json_valid({column}) then {column}::json end"
    text = f"nullif(trim({column}), '')"
    if wanted in ("DOUBLE", "BIGINT") and decimal_comma:
        text = f"replace(replace({text}, '.', ''), ',', '.')"
    if wanted == "BIGINT":  # a cast alone would round 12.5 to 13 without a word
        return f"case when regexp_full_match({text}, '[+-]?[0-9]+(\\.0*)?') then try_cast({text} as bigint) end"
    return f"try_cast({text} as {wanted})"


def _text(column: str, found: str) -> str:
    return column if found == "VARCHAR" else f"({column})::varchar"


def _reason(table: Table, names: dict[str, str], values: dict[str, str | None], bad: dict[str, str]) -> str:
    cases = []
    for name in table.required:
        value = values.get(name)
        if name not in names or value is None:
            cases.append(f"when true then {literal(f'{name}: the column is missing')}")
            continue
        if name in bad:
            kind = table.columns[name].type
            cases.append(f"when trim({quoted(names[name])}::varchar) <> '' and {bad[name]} then {literal(f'{name}: is not a {kind}')}")
        cases.append(f"when ({value}) is null or ({value})::varchar = '' then {literal(f'{name}: is required but empty')}")
    return f"case {' '.join(cases)} end" if cases else "null::varchar"
