"""Rows that could not be read: looked at, exported, and read back with corrections. See `ingest.replay` for landing them.

`raw.raw_quarantine` is never changed: that a row is done with is a row of `raw.raw_quarantine_replay`. Open are the rows
that are not in it.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import duckdb

from cdp.errors import BusyError, ConfigurationError, DeclarationError
from cdp.settings import Settings
from cdp.warehouse import reading
from ingest.landed import QUARANTINE, QUARANTINE_REPLAY


@dataclass(frozen=True)
class Quarantined:
    """One open row. `position` 0: a whole file. `original` None in a corrected export: the row is given up."""

    quarantine_key: str
    source: str
    table_name: str
    origin: str
    position: int
    reason: str
    original: str | None
    header: str | None

    def masked(self, width: int = 60) -> str:
        """The shape of the text: letters as x, digits as 9. Enough to see what is wrong, without saying who it is."""
        text = re.sub(r"\d", "9", re.sub(r"[^\W\d_]", "x", self.original or "")).replace("\n", " ")
        return text if len(text) <= width else text[: width - 1] + "…"


def open_rows(settings: Settings, source: str | None = None, *, limit: int | None = None) -> list[Quarantined]:
    """The open rows in the order in which they were set aside. Raises ConfigurationError when there is no warehouse.

    While a run holds the warehouse, the published copy is asked.
    """
    try:
        with reading(settings, live=True) as con:
            return _open_rows(con, settings, source, limit)
    except BusyError:
        if not settings.published_path.exists():
            raise
        with reading(settings) as con:
            return _open_rows(con, settings, source, limit)


def count_open(rows: list[Quarantined]) -> dict[tuple[str, str, str], int]:
    """How many rows are open by source, table and reason."""
    return dict(sorted(Counter((r.source, r.table_name, r.reason) for r in rows).items()))


def _open_rows(
    con: duckdb.DuckDBPyConnection, settings: Settings, source: str | None, limit: int | None
) -> list[Quarantined]:
    from ingest.tracking_plan.blocked import blocked_rows

    present = {n for (n,) in con.execute("select table_name from duckdb_tables() where schema_name = 'raw'").fetchall()}
    if not {QUARANTINE, QUARANTINE_REPLAY} <= present:
        return []
    columns = ", ".join(f.name for f in fields(Quarantined))
    found = con.execute(
        f"select {columns} from raw.{QUARANTINE} where ($source is null or source = $source) "
        f"and quarantine_key not in (select quarantine_key from raw.{QUARANTINE_REPLAY}) "
        f"order by _cdp_sequence {'' if limit is None else f'limit {int(limit)}'}",
        {"source": source},
    ).fetchall()
    return [Quarantined(*row) for row in [*found, *blocked_rows(con, settings, source)][:limit]]


def export(rows: list[Quarantined], path: Path) -> None:
    """Write rows with their original text as JSON lines, readable for this user only. Raises CdpError when it is there."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
    except FileExistsError:
        raise DeclarationError("the file is there already", where=str(path), fix="choose another name") from None
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror}", where=str(path), fix="check the folder"
        ) from None


def read_corrections(path: Path) -> dict[str, str | None]:
    """Texts by key from an exported file. Raises DeclarationError naming the first line that is not of an export."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise DeclarationError(f"cannot be read: {reason}", where=str(path), expected="an exported file") from None
    found: dict[str, str | None] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        key = row.get("quarantine_key") if isinstance(row, dict) else None
        if not isinstance(row, dict) or not isinstance(key, str) or not isinstance(row.get("original", 0), str | None):
            raise DeclarationError(
                "is not a row of an export",
                where=f"{path}:{number}",
                expected="one JSON object a line, as `cdp quarantine list --export` writes it, its `original` corrected",
                fix="export again and change nothing but `original` (null gives the row up)",
            )
        if key in found:
            raise DeclarationError(f'"{key}" stands there twice', where=f"{path}:{number}", fix="keep one of the two")
        found[key] = row["original"]
    return found


def all_keys(settings: Settings) -> set[str]:
    """The keys of all rows that were ever set aside; of events that the plan blocks, the open ones and those done with."""
    with reading(settings, live=True) as con:
        found = con.execute(
            f"select quarantine_key from raw.{QUARANTINE} union all select quarantine_key from raw.{QUARANTINE_REPLAY}"
        ).fetchall()
        return {key for (key,) in found} | {row.quarantine_key for row in _open_rows(con, settings, None, None)}
