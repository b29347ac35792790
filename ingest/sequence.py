"""The ingestion sequence: every row that lands gets a number, once, and keeps it.

Order of identity decisions, first-arrival deduplication and incremental models all hang on it, so it never goes back:
the next number is above both the warehouse's highest and the last one ever handed out. Numbers that were handed out for
rows that then did not land (a killed run, a rejected row) stay unused. The small file covers rows that were numbered but
whose load has not finished; losing it with the warehouse intact is harmless.
"""

from __future__ import annotations

import os
from pathlib import Path

from cdp.errors import ConfigurationError
from cdp.settings import Settings

SEQUENCE_COLUMN = "_cdp_sequence"


class Sequence:
    """Hands out numbers in blocks. One process at a time: use under `writer_lock`."""

    def __init__(self, settings: Settings, highest: int) -> None:
        """`highest`: the highest number in the warehouse."""
        self._path = settings.path("sequence")
        self._next = max(_written(self._path), highest) + 1

    def take(self, count: int) -> int:
        """The first of `count` numbers; they are reserved on disk before this returns."""
        first = self._next
        if count:
            self._next += count
            _write_whole(self._path, str(self._next - 1))
        return first


def _written(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0
    except ValueError:
        raise ConfigurationError(
            "holds no number",
            where=str(path),
            expected="the last ingestion number that was handed out",
            fix="delete the file: the next run goes on behind the highest number in the warehouse",
        ) from None


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
