"""SQL that turns a value as it was read into a value of its column's type, or into null where it does not fit."""

from __future__ import annotations

from sqlglot import exp

from cdp.sources import Column

DUCKDB_TYPES = {
    "text": "VARCHAR",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    # kept as text: what is JSON was checked when it landed, and a cast would check it once more with every load
    "json": "VARCHAR",
}
_NUMBERS = ("BIGINT", "DOUBLE")
# 1.299,50 or 1299,5: points only between groups of three, so that 12.50 is not taken for 1250
_DECIMAL_COMMA = r"[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]*)?"
_WHOLE = r"[+-]?[0-9]+(\.0*)?"


def landed_type(kind: str) -> str:
    """The type in raw of a typed source's column of DuckDB type `kind`."""
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "BIGINT"):
        return "BIGINT"
    if kind == "FLOAT" or kind.startswith("DECIMAL"):
        return "DOUBLE"
    if kind.startswith("TIMESTAMP"):
        return "TIMESTAMP WITH TIME ZONE"
    return kind if kind in ("DOUBLE", "BOOLEAN", "DATE") else "VARCHAR"


def as_text(column: str, found: str) -> str:
    """The column as text."""
    return column if found == "VARCHAR" else f"({column})::varchar"


def value_sql(column: str, found: str, wanted: str, declared: Column, *, decimal_comma: bool) -> str:
    """The column (of type `found`) as `wanted`, null where it does not fit.

    Blank text counts as missing except in text columns. Nothing is rounded, cut or guessed: 12.5 is no bigint, 2 no
    bool, infinity no number, and a time lies in the years 1 to 9999.
    """
    text = as_text(column, found)
    if declared.pattern or declared.formats:
        return _checked(text, wanted, declared)
    if declared.type == "json":
        return f"case when json_valid({text}) then {text} end"
    if found == wanted:
        return _finite(column, wanted) if found in ("DOUBLE", "DATE", "TIMESTAMP WITH TIME ZONE") else column
    if wanted == "VARCHAR":
        return text
    if found == "DOUBLE" and wanted == "BIGINT":
        return f"case when {column} = trunc({column}) then try_cast({column} as bigint) end"
    if found == "BIGINT" and wanted == "DOUBLE":
        return f"{column}::double"
    if found == "DATE" and wanted == "TIMESTAMP WITH TIME ZONE":
        return f"{column}::timestamptz"
    trimmed = f"nullif(trim({text}), '')"
    if wanted in _NUMBERS and decimal_comma and found == "VARCHAR":
        plain = f"replace(replace({trimmed}, '.', ''), ',', '.')"
        trimmed = f"case when regexp_full_match({trimmed}, '{_DECIMAL_COMMA}') then {plain} end"
    if wanted == "BIGINT":  # a cast alone would round 12.5 to 13 without a word
        return f"case when regexp_full_match({trimmed}, '{_WHOLE}') then try_cast({trimmed} as bigint) end"
    return _finite(f"try_cast({trimmed} as {wanted})", wanted)


def _checked(text: str, wanted: str, declared: Column) -> str:
    """A value that must match a pattern or be written in one of some formats; as a text it stays as it is written."""
    conditions = []
    if declared.pattern:
        conditions.append(f"regexp_full_match({text}, {_literal(declared.pattern)})")
    moment = f"try_strptime(trim({text}), [{', '.join(_literal(f) for f in declared.formats)}])"
    if declared.formats:
        conditions.append(f"{moment} is not null")
    fits = " and ".join(conditions)
    if wanted == "VARCHAR":
        return f"case when trim({text}) = '' or ({fits}) then {text} end"
    value = f"{moment}::{wanted}" if declared.formats else f"try_cast(trim({text}) as {wanted})"
    return f"case when {fits} then {_finite(value, wanted)} end"


def _finite(value: str, wanted: str) -> str:
    if wanted == "DOUBLE":
        return f"case when isfinite({value}) then {value} end"
    if wanted == "DATE":
        return f"case when {value} between date '0001-01-01' and date '9999-12-31' then {value} end"
    if wanted == "TIMESTAMP WITH TIME ZONE":
        limits = "timestamptz '0001-01-01 00:00:00+00' and timestamptz '9999-12-31 23:59:59.999999+00'"
        return f"case when {value} between {limits} then {value} end"
    return value


def _literal(text: str) -> str:
    return exp.Literal.string(text).sql(dialect="duckdb")
