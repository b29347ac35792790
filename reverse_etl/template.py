"""Templates of fields: `Dear {first_name|trim|default:friend}` as one SQL expression."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

# What may stand behind a column's name. Each takes an SQL expression (text, null stays null) and an argument.
_FILTERS: dict[str, Callable[[str, str], str]] = {
    "trim": lambda value, _: f"trim({value})",
    "lower": lambda value, _: f"lower({value})",
    "upper": lambda value, _: f"upper({value})",
    "capitalise": lambda value, _: f"upper(left({value}, 1)) || substr({value}, 2)",
    "default": lambda value, given: f"coalesce(nullif({value}, ''), {_text(given)})",
    "first": lambda value, given: f"left({value}, {int(given)})",
}
_WITH_ARGUMENT = {"default", "first"}
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class Piece:
    """A literal text, or a column with its filters (name, argument)."""

    text: str = ""
    column: str = ""
    filters: tuple[tuple[str, str], ...] = ()


def parse(template: str) -> list[Piece]:
    """The pieces of a template. `{{` and `}}` stand for braces. Raises ValueError that says what is wrong."""
    pieces: list[Piece] = []
    at = 0
    for found in _PIECE.finditer(template):
        if found.start() > at:
            pieces.append(Piece(text=template[at : found.start()]))
        at = found.end()
        if found.group() in ("{{", "}}"):
            pieces.append(Piece(text=found.group()[0]))
        elif found.group(1) is None:
            raise ValueError(f'a single "{found.group()}" (write it twice to mean the sign itself)')
        else:
            pieces.append(_column(found.group(1)))
    if at < len(template):
        pieces.append(Piece(text=template[at:]))
    return pieces


def columns(template: str) -> list[str]:
    """Columns that a template names, in order."""
    return [piece.column for piece in parse(template) if piece.column]


def template_sql(template: str) -> str:
    """The template as an expression; null when a column without `default` is null."""
    parts = []
    for piece in parse(template):
        if not piece.column:
            parts.append(_text(piece.text))
            continue
        value = f"cast({exp.to_identifier(piece.column, quoted=True).sql('duckdb')} as varchar)"
        for name, argument in piece.filters:
            value = f"({_FILTERS[name](value, argument)})"
        parts.append(value)
    return " || ".join(parts) or "''"


def _column(written: str) -> Piece:
    name, *filters = (part.strip() for part in written.split("|"))
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f'"{name}" where a column is expected')
    found = []
    for each in filters:
        filter_name, _, argument = each.partition(":")
        if filter_name not in _FILTERS:
            raise ValueError(f'"{filter_name}", no filter; there are {", ".join(_FILTERS)}')
        if (filter_name in _WITH_ARGUMENT) != bool(argument):
            raise ValueError(f'the filter "{filter_name}" {"needs" if not argument else "takes no"} argument')
        if filter_name == "first" and not argument.isdigit():
            raise ValueError('the filter "first" with a number')
        found.append((filter_name, argument))
    return Piece(column=name, filters=tuple(found))


def _text(value: str) -> str:
    return exp.Literal.string(value).sql("duckdb")
