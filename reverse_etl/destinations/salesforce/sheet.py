"""CSV as Bulk API 2.0 writes it: RFC 4180 with line feeds; an empty cell leaves a field alone and #N/A empties it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

_EMPTY = "#N/A"


def cell(value: Any) -> str:
    """A value as Salesforce reads it; several values of a picklist stand apart by semicolons."""
    if value is None or value in ("", []):
        return _EMPTY
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ";".join(map(str, value))
    return str(value)


def sheet(names: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> bytes:
    """Header and lines. A field that a line does not have stays as it is at Salesforce."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([cell(line[name]) if name in line else "" for name in names] for line in lines)
    return written.getvalue().encode()


def read_sheet(content: bytes) -> list[dict[str, str]]:
    """Lines by column; none when there is no content."""
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))
