"""Keeps personal data out of plans, reasons and messages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reverse_etl.destination import Row
from reverse_etl.destination_spec import FieldRule

HIDDEN = "•••"
_EMAIL = re.compile(r"[^\s\"'<>\[\](),:;=]+@[^\s\"'<>\[\](),:;=]+")
_LONG_NUMBER = re.compile(r"\+?\d[\d\s()./-]{5,}\d")
_LONGEST_REASON = 300


def key_mark(key: str) -> str:
    """A short mark by which the same key is known again without showing it."""
    return "#" + hashlib.sha256(key.encode()).hexdigest()[:8]


def shown(value: Any, rule: FieldRule) -> str:
    """A field's value as a plan may show it: texts of fields that may hold personal data are hidden."""
    if value is None:
        return "(empty)"
    if rule.pii and isinstance(value, str | list):
        return HIDDEN
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def redact_rows(reason: str, rows: Sequence[Row]) -> str:
    """A message about a whole batch. Only values that it can quote are looked for, so that many rows cost little."""
    if not reason:
        return ""
    return redact(reason, dict(enumerate(_quoted(reason, rows))))


def _quoted(reason: str, rows: Sequence[Row]) -> Iterator[str]:
    for row in rows[:1000]:
        yield from (v for v in row.payload.values() if isinstance(v, str) and v.lower() in reason.lower())


def redact(reason: str, payload: Mapping[Any, Any]) -> str:
    """A vendor's message without the row's own values and without anything that looks like an address or number."""
    values = sorted({v for v in payload.values() if isinstance(v, str) and len(v) >= 3}, key=lambda v: (-len(v), v))
    for value in values:
        reason = re.sub(re.escape(value), HIDDEN, reason, flags=re.IGNORECASE)
    reason = _LONG_NUMBER.sub(HIDDEN, _EMAIL.sub(HIDDEN, reason))
    return " ".join(reason.split())[:_LONGEST_REASON]
