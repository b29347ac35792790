"""Types of values in expressions: what fits where, and how messages name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

from sqlglot import exp

from dbt_declarations.contracts import Type
from dbt_declarations.functions import DIALECT, MOMENTS, NUMBERS
from dbt_declarations.scope import ExpressionError


@dataclass(frozen=True)
class Typed:
    """A checked expression: its SQL, the type of its value, the (namespace, column) pairs it reads."""

    sql: exp.Expression
    type: Type
    reads: frozenset[tuple[str, str]] = frozenset()


def fits(found: Type, wanted: Type) -> bool:
    """Whether a value of one type can stand where another is wanted."""
    if found == wanted or found in ("null", "any"):
        return True
    return (wanted == "number" and found == "integer") or (wanted == "timestamp" and found == "date")


def common(types: list[Type]) -> Type | None:
    """The one type that all these values have; None when there is none."""
    kinds = set(types) - {"null", "any"}
    if not kinds and "any" in types:
        return "any"
    if len(kinds) <= 1:
        return next(iter(kinds), "null")
    if kinds <= set(NUMBERS):
        return "number"
    return "timestamp" if kinds <= set(MOMENTS) else None


def as_moment(typed: Typed, node: exp.Expression, other: Type) -> Typed:
    """A text in quotes beside a date or timestamp becomes one; ExpressionError when it is none."""
    if other not in MOMENTS or not node.is_string:
        return typed
    try:
        moment = datetime.fromisoformat(node.name)
        date_only = len(node.name) == 10 and date.fromisoformat(node.name)
    except ValueError:
        raise ExpressionError(
            f"'{node.name[:40]}' is not a {other}", expected="'2026-01-31' or '2026-01-31 09:30:00'"
        ) from None
    if moment.tzinfo is not None:
        raise ExpressionError(f"'{node.name}' has a time zone", expected="UTC without a zone: '2026-01-31 09:30:00'")
    kind: Type = "date" if date_only else "timestamp"
    return Typed(exp.cast(exp.Literal.string(moment.isoformat(" ")), kind), kind)


def convert(left: Type, right: Type) -> str:
    """What to do when values of two types meet."""
    if {left, right} & set(NUMBERS) and "text" in (left, right):
        return "write the number without quotes, or to_number(<text>)"
    return "write to_date(<text>)" if {left, right} & set(MOMENTS) and "text" in (left, right) else ""


def to_do(wanted: tuple[Type, ...]) -> str:
    """What to do when the whole expression has another type."""
    return "write a condition, such as city = 'Shanghai'" if wanted == ("boolean",) else ""


def a_kind(kind: Type) -> str:
    """A type as messages name it."""
    names = {"text": "a text", "integer": "an integer", "number": "a number", "boolean": "true/false", "date": "a date"}
    more = {"timestamp": "a timestamp", "list": "a list", "json": "a JSON document", "null": "nothing"}
    return {**names, **more}.get(kind, "of a type that cannot be used")


def show(node: exp.Expression, most: int = 60) -> str:
    """The written expression, short enough for a message."""
    text = node.sql(DIALECT, comments=False, normalize_functions=False)
    return text if len(text) <= most else text[: most - 3] + "..."


def check_literal(name: str, argument: exp.Expression) -> None:
    """Refuse an argument that must be a literal and is none, or one that cannot be used."""
    if not argument.is_string:
        raise ExpressionError(f"{name}() is given {show(argument)}", expected="a text in quotes")
    if name == "regexp_matches":
        import duckdb

        try:
            with duckdb.connect() as connection:
                connection.execute("select regexp_matches('', ?)", [argument.name])
        except duckdb.Error as error:
            raise ExpressionError(
                f"the pattern cannot be used: {str(error).splitlines()[0]}", expected="RE2 syntax"
            ) from None
    elif not re.fullmatch(r"[\w .\-]{1,80}", argument.name):
        raise ExpressionError(f"{name}('{argument.name[:40]}')", expected="letters, digits, space, . - _")


def syntax_message(message: str) -> str:
    """What sqlglot said about the syntax, without colours and in one line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", message).splitlines()[0]
    missing = re.match(r"Required keyword: '\w+' missing for <class '[\w.]+\.(\w+)'>\. (.*)", plain)
    if missing:
        plain = f"something is missing in {missing[1].lower()}. {missing[2]}"
    return f"is not an expression: {plain.strip()[:120]}"
