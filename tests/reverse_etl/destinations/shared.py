"""What tests of clients share: a client before its emulated vendor, rows, the real data and the vendors' specifications.

Tests that need the last two are skipped where they are not.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reverse_etl.catalog import MappedField, destination
from reverse_etl.declaration import FieldMap
from reverse_etl.destination import Batch, Result, Row
from reverse_etl.destination_spec import DestinationSpec, FieldRule, Mode
from reverse_etl.pace import Pace
from tests.reverse_etl.conftest import Script, serving

_HERE = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("CDP_SHARED_DATA", _HERE.parent / "shared" / "data"))


def shared_data(folder: str) -> Path:
    """A folder of the real data."""
    if not (SHARED / folder).is_dir():
        pytest.skip(f"the real data set {folder} is not at {SHARED}")
    return SHARED / folder


def specification(name: str) -> Path:
    """A vendor's OpenAPI description."""
    path = SHARED.parent / "reference" / "specs" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"the specification {name} is not at {path}")
    return path


@dataclass
class Account:
    """A client and the emulated vendor it talks to."""

    client: Any
    spec: DestinationSpec
    url: str
    database: Path
    script: Script
    waits: list[float]

    def held(self, kind: str) -> dict[str, Any]:
        """What the vendor holds, by id."""
        with contextlib.closing(sqlite3.connect(self.database)) as con:
            found = con.execute("select id, value from held where kind = ? order by id", (kind,)).fetchall()
        return {row[0]: json.loads(row[1]) for row in found}

    def forget(self, kind: str) -> None:
        """What the vendor drops by itself, as tokens that it revokes."""
        with contextlib.closing(sqlite3.connect(self.database)) as con, con:
            con.execute("delete from held where kind = ?", (kind,))

    def keep(self, kind: str, key: str, value: Any) -> None:
        """What somebody else changes at the vendor."""
        with contextlib.closing(sqlite3.connect(self.database)) as con, con:
            con.execute("insert or replace into held values (?, ?, ?)", (kind, key, json.dumps(value)))

    def calls(self, path: str = "%") -> list[int]:
        """Statuses of the answers, in order."""
        with contextlib.closing(sqlite3.connect(self.database)) as con:
            return [
                row[0]
                for row in con.execute("select status from call where path like ? order by no", (path,)).fetchall()
            ]


@contextlib.contextmanager
def account(
    emulator: ModuleType, folder: Path, *, around: Callable[[Any], Any] = lambda app: app, **settings: str
) -> Iterator[Account]:
    """An emulated vendor on a free port with a client that waits for nothing. `around` wraps the application."""
    script, name = Script(), emulator.__name__.rsplit(".", 1)[1]
    spec = destination(name)
    waits: list[float] = []
    pace = Pace(spec.retry, (), sleep=waits.append)
    with serving(around(emulator.create_app(folder, folder / "emulators", script))) as url:
        given = {key.split("__")[1].lower(): value for key, value in emulator.environment(url).items()}
        defaults = {key: each.default for key, each in spec.connection.items() if each.default is not None}
        client = import_module(f"reverse_etl.destinations.{name}.client").connect(
            spec, {**defaults, **given, **settings}, pace
        )
        try:
            yield Account(client, spec, url, folder / "emulators" / f"{name}.sqlite", script, waits)
        finally:
            client.close()


def batch(
    name: str, payloads: Sequence[Mapping[str, Any]], mode: Mode = "upsert", operation: Any = "create", **options: str
) -> Batch:
    """Rows r0, r1, ... as the engine hands them over."""
    rows = [
        Row(f"r{number}", operation, json.dumps(payload, ensure_ascii=False)) for number, payload in enumerate(payloads)
    ]
    return Batch("tests", name, mode, rows, options, "2026-01-01T00:00:00Z", "batch-1")


def merging(name: str, *pairs: tuple[Mapping[str, Any], Mapping[str, Any]], **options: str) -> Batch:
    """Each first object goes into its second."""
    rows = [
        Row(f"r{number}", "merge", json.dumps(one), into_json=json.dumps(into))
        for number, (one, into) in enumerate(pairs)
    ]
    return Batch("tests", name, "mirror", rows, options, "2026-01-01T00:00:00Z", "batch-1")


def mapped(*names: str) -> list[MappedField]:
    """Texts as a sync maps them, for `prepare`."""
    rule = FieldRule(type="text")
    return [MappedField(name, FieldMap(column="column"), rule, "text", True) for name in names]


def statuses(result: Result, of: Batch) -> list[str]:
    """Status of each row, in order."""
    return [result.outcome(row.key).status for row in of.rows]
