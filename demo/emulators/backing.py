"""A backing file of the demo world as an emulated API sees it: sorted JSON lines, read again when replaced."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

Key = tuple[int, str]
"""Seconds since 1970 of `updated_at`, then the id."""


@dataclass(frozen=True)
class Row:
    """One line: its place in the order of changes, and its JSON text."""

    key: Key
    text: str


class Backing:
    """The rows of one file in the order (updated_at, id). A missing file has no rows."""

    def __init__(self, path: Path, id_of: Callable[[dict[str, object]], str]) -> None:
        self._path, self._id_of = path, id_of
        self._seen: tuple[int, int, int] | None = None
        self._rows: list[Row] = []
        self._keys: list[Key] = []
        self._by_id: dict[str, Row] = {}

    def since(self, seconds: int, limit: int) -> list[Row]:
        """The first `limit` rows changed at `seconds` or later."""
        self._refresh()
        start = bisect_left(self._keys, (seconds, ""))
        return self._rows[start : start + limit]

    def after(self, key: Key, limit: int) -> list[Row]:
        """The first `limit` rows behind `key`, which need not exist any more."""
        self._refresh()
        start = bisect_right(self._keys, key)
        return self._rows[start : start + limit]

    def find(self, row_id: str) -> Row | None:
        """The row with an id."""
        self._refresh()
        return self._by_id.get(row_id)

    def rows(self) -> list[Row]:
        """All rows."""
        self._refresh()
        return self._rows

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._rows, self._keys, self._by_id, self._seen = [], [], {}, None
            return
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if seen == self._seen:
            return
        rows = []
        with self._path.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                rows.append(Row((epoch_seconds(record["updated_at"]), self._id_of(record)), line.rstrip("\n")))
        rows.sort(key=lambda row: row.key)
        self._rows, self._seen = rows, seen
        self._keys = [row.key for row in rows]
        self._by_id = {row.key[1]: row for row in rows}


def epoch_seconds(iso: str) -> int:
    """Whole seconds since 1970, rounded up; times without an offset are UTC. Raises ValueError if not ISO 8601."""
    moment = datetime.fromisoformat(iso)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) + (moment.microsecond > 0)
