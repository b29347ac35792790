"""What one value must be by its declaration, as closures over plain Python.

`rule_check` names the first rule that a value breaks. `quick_check` says of most values that fit that they do, at the price of
one call of C; of the others it says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import re2

from cdp.tracking_plan import Property

DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
DATETIME = DATE + r"[T ]([01]\d|2[0-3]):[0-5]\d(:([0-5]\d|60)(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?"
REMEMBERED, REMEMBERED_LENGTH = 2048, 64  # texts of a pattern whose answer is kept, and how long they may be
EXACT = 2**53  # whole numbers up to here are doubles

Check = Callable[[Any], str | None]
Quick = Callable[[Any], Any]


class Matcher:
    """Whether a text matches as a whole. RE2 takes 5 µs a text from Python, and what has a pattern repeats (currencies,
    products, hours), so the last answers are kept, in `known`."""

    __slots__ = ("_fullmatch", "known")

    def __init__(self, pattern: str) -> None:
        self._fullmatch = re2.compile(pattern).fullmatch
        self.known: dict[str, bool] = {}

    def __call__(self, value: str) -> bool:
        answer = self.known.get(value)
        if answer is None:
            try:
                answer = self._fullmatch(value) is not None
            except UnicodeEncodeError:  # a lone surrogate is no text
                return False
            if len(value) <= REMEMBERED_LENGTH:
                if len(self.known) >= REMEMBERED:
                    self.known.clear()
                self.known[value] = answer
        return answer


_DATES = {"date": Matcher(DATE), "datetime": Matcher(DATETIME)}


def rule_check(spec: Property) -> Check:
    """The first rule that a single value breaks, or None."""
    fits = _TYPES[spec.type]
    conditions = _conditions(spec)
    absent = "missing" if spec.required else None
    if not conditions:
        return lambda value: absent if value is None else None if fits(value) else "wrong_type"

    def check(value: Any) -> str | None:
        if value is None:
            return absent
        if not fits(value):
            return "wrong_type"
        for rule, holds in conditions:
            if not holds(value):
                return rule
        return None

    return check


def quick_check(spec: Property) -> tuple[frozenset[type], Quick | None]:
    """(classes, test): a value of such a class that passes the test (or any, without one) fits, whatever is inside it
    included; one that does not may fit nevertheless."""
    said = {key for key in ("values", "pattern", "max_length", "min", "max") if getattr(spec, key) not in (None, [])}
    if spec.type in _DATES:
        return frozenset({str}), _DATES[spec.type].known.get
    if spec.type == "string" and len(said) <= 1:
        holds = next((holds for _, holds in _conditions(spec)), None)
        return frozenset({str}), holds.known.get if isinstance(holds, Matcher) else holds
    if spec.type in ("number", "integer") and "values" not in said:
        least, most = (x if x is not None else y for x, y in ((spec.min, -EXACT), (spec.max, EXACT)))
        lowest, highest = max(least, -EXACT), min(most, EXACT)
        return frozenset({int, float} if spec.type == "number" else {int}), lambda value: lowest <= value <= highest
    if spec.type == "boolean" or (spec.type in ("object", "array") and not spec.properties and spec.items is None):
        return frozenset({{"boolean": bool, "object": dict, "array": list}[spec.type]}), None
    return frozenset(), None


def _conditions(spec: Property) -> list[tuple[str, Callable[[Any], bool]]]:
    found: list[tuple[str, Callable[[Any], bool]]] = []
    if spec.values:
        found.append(("not_allowed", frozenset(spec.values).__contains__))
    if spec.pattern is not None:
        found.append(("pattern_mismatch", Matcher(spec.pattern)))
    if (longest := spec.max_length) is not None:
        found.append(("too_long", lambda value: len(value) <= longest))
    if (least := spec.min) is not None:
        found.append(("below_minimum", lambda value: float(value) >= least))
    if (most := spec.max) is not None:
        found.append(("above_maximum", lambda value: float(value) <= most))
    return found


def _is_number(value: Any) -> bool:
    if value.__class__ is float:
        return math.isfinite(value)
    if value.__class__ is int:
        return -1e308 < value < 1e308
    return False


def _is_integer(value: Any) -> bool:
    return value.is_integer() if value.__class__ is float else value.__class__ is int and -1e308 < value < 1e308


_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: value.__class__ is str,
    "number": _is_number,
    "integer": _is_integer,
    "boolean": lambda value: value.__class__ is bool,
    "object": lambda value: value.__class__ is dict,
    "array": lambda value: value.__class__ is list,
    "date": lambda value: value.__class__ is str and _DATES["date"](value),
    "datetime": lambda value: value.__class__ is str and _DATES["datetime"](value),
}
