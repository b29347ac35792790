"""What is said about an event: its violations, and what was found shown without saying it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import re2

from cdp.tracking_plan import Action

PLAIN_NAME = r"[\p{L}\p{N}_ .:/-]+"  # a name that may be shown, up to NAME_LENGTH; others could be an address
NAME_LENGTH = 80
SHOWN = 40

_LETTER, _DIGIT, _CONTROL, _NAME = (re2.compile(p) for p in (r"\p{L}", r"\p{Nd}", r"\p{Cc}", PLAIN_NAME))
# the same for ASCII, without three calls of RE2
_ASCII = {
    n: "x" if chr(n).isalpha() else "9" if chr(n).isdigit() else " " if n < 32 or n == 127 else chr(n)
    for n in range(128)
}


@dataclass(frozen=True, slots=True)
class Violation:
    """`found`: of a text its shape, letters as x and digits as 9; of anything else its type; None when it is missing."""

    rule: str
    path: str
    found: str | None
    action: Action

    def to_dict(self) -> dict[str, str | None]:
        """For JSON; safe to log."""
        return {"rule": self.rule, "path": self.path, "found": self.found, "action": self.action}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`action`: the strictest of the violations; `event`: its name in the plan, None when nobody planned it."""

    event: str | None
    action: Action
    violations: tuple[Violation, ...] = ()

    @property
    def dropped(self) -> tuple[str, ...]:
        """Top-level properties that are left out behind raw."""
        return tuple(sorted({top_of(v.path) for v in self.violations if v.action == "drop"}))


def top_of(path: str) -> str:
    """The top-level property of a path: `products` of `products[].price`."""
    return path.split("[", 1)[0].split(".", 1)[0]


def masked(value: Any) -> str | None:
    """What was found without saying it: the shape of a text, else the JSON type."""
    return _shape(value) if value.__class__ is str else None if value is None else _type_of(value)


def shown(name: str) -> str:
    """A name that somebody chose: as it is when it looks like a name, else its shape."""
    try:
        return name if len(name) <= NAME_LENGTH and _NAME.fullmatch(name) else _shape(name)
    except UnicodeEncodeError:
        return _shape(name)


def _shape(text: str) -> str:
    text = text[:SHOWN]
    if text.isascii():
        return text.translate(_ASCII)
    text = text.encode("utf-8", "replace").decode()
    return str(_CONTROL.sub(" ", _DIGIT.sub("9", _LETTER.sub("x", text))))


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", list: "array", dict: "object", str: "string"}
    return names.get(value.__class__, "null")
