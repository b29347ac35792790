"""A small project with one sync, a warehouse that tests fill, and emulated vendors as real servers on free ports."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import uvicorn
from starlette.applications import Starlette

from cdp.settings import Settings
from demo.emulators.destinations import hubspot
from demo.emulators.faults import Fault
from reverse_etl import pace

CONTRACT = """
models:
  - name: {model}
    description: One row a contact.
    config:
      contract: {{enforced: true}}
      meta: {{consent_purpose: {purpose}}}
    columns:
{columns}
"""
CONTACT_COLUMNS = {
    "email": "varchar",
    "first_name": "varchar",
    "stage": "varchar",
    "lead_score": "double",
    "is_vip": "boolean",
    "born_on": "date",
    "seen_at": "timestamp",
    "segments": "varchar[]",
    "person_id": "varchar",
}
CONTACT_SYNC = """
name: contacts
description: Contacts of the tests.
owner: tests
source: snd_hubspot__contacts
destination: hubspot
object: contacts
key: email
mode: {mode}
fields:
  email: email
  firstname: first_name
  lifecyclestage: {{column: stage, nulls: omit}}
  cdp_lead_score: lead_score
  cdp_is_vip: is_vip
  cdp_born_on: born_on
  cdp_seen_at: seen_at
  cdp_segments: segments
consent_purpose: marketing_email
schedule: "15 * * * *"
limits: {{max_rows: 200000, max_change_percent: 50, max_deletes: 50, min_rows_for_percent: 20}}
person: person_id
"""


@dataclass
class Project:
    """A project on disk and shortcuts to change it."""

    settings: Settings

    def contract(self, model: str, columns: Mapping[str, str], purpose: str = "marketing_email") -> None:
        lines = "\n".join(f"      - {{name: {name}, data_type: '{kind}'}}" for name, kind in columns.items())
        folder = self.settings.dbt_dir / "models" / "activation"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{model}.yml").write_text(CONTRACT.format(model=model, purpose=purpose, columns=lines))

    def sync(self, name: str, text: str) -> Path:
        folder = self.settings.project_root / "reverse_etl" / "syncs"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.yml"
        path.write_text(text)
        return path

    def fill(self, model: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        self.settings.warehouse_path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(duckdb.connect(str(self.settings.warehouse_path))) as con:
            con.execute("create schema if not exists activation")
            listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            con.execute(f"create or replace table activation.{model} ({listed})")
            if rows:
                names = list(columns)
                table = pa.table({name: pa.array([row[n] for row in rows]) for n, name in enumerate(names)})
                con.register("given", table)
                values = ", ".join(f'cast("{name}" as {kind})' for name, kind in columns.items())
                con.execute(f"insert into activation.{model} select {values} from given")

    def contacts(self, rows: Sequence[Sequence[Any]]) -> None:
        """Rows of (email, first_name, stage, lead_score, ...); missing columns are null."""
        width = len(CONTACT_COLUMNS)
        full = [tuple(row) + (None,) * (width - 1 - len(row)) + (f"person of {row[0]}",) for row in rows]
        self.fill("snd_hubspot__contacts", CONTACT_COLUMNS, full)
        self.consents([(row[-1], "marketing_email", True) for row in full])

    def consents(self, rows: Sequence[tuple[str, str, bool]]) -> None:
        """Latest decisions: (person_id, purpose, is_granted); the record is named after both."""
        distinct = sorted({(person, purpose): granted for person, purpose, granted in rows}.items())
        with contextlib.closing(duckdb.connect(str(self.settings.warehouse_path))) as con:
            con.execute("create schema if not exists profiles")
            con.execute(
                "create or replace table profiles.person_consent"
                " (person_id varchar, purpose varchar, is_granted boolean, record_id varchar)"
            )
            table = pa.table(
                {
                    "person_id": [person for (person, _), _ in distinct],
                    "purpose": [purpose for (_, purpose), _ in distinct],
                    "is_granted": [granted for _, granted in distinct],
                }
            )
            if distinct:
                con.register("decisions", table)
                con.execute(
                    "insert into profiles.person_consent select *, 'consent ' || person_id || ' ' || purpose from decisions"
                )

    def contact_sync(self, *, mode: str = "upsert", **replace: str) -> None:
        text = CONTACT_SYNC.format(mode=mode)
        for old, new in replace.items():
            text = text.replace(old, new)
        self.sync("contacts", text)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in [name for name in os.environ if name.startswith("CDP_")]:
        monkeypatch.delenv(name)
    built = Project(Settings(project_root=tmp_path, data_dir=Path(".cdp"), _env_file=None))
    built.contract("snd_hubspot__contacts", CONTACT_COLUMNS)
    built.contact_sync()
    return built


@pytest.fixture(autouse=True)
def quick_retries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries as many as in earnest, without waiting between them; a test that uses `real_waits` waits."""
    if "real_waits" not in request.fixturenames:
        monkeypatch.setattr(pace.Pace, "_wait", lambda self, seconds: None)


@pytest.fixture
def real_waits() -> None:
    """Asked for by tests whose emulator minds the time."""


@dataclass
class Script:
    """Faults by request number (from 1) or by a rule; counts what it was asked."""

    by_number: dict[int, Fault] = field(default_factory=dict)
    rule: Callable[[int, str], Fault | None] | None = None

    def fate(self, emulator: str, request_number: int, path: str) -> Fault | None:
        if self.rule is not None:
            return self.rule(request_number, path)
        return self.by_number.get(request_number)


@dataclass
class Vendor:
    """A running emulator."""

    url: str
    database: Path
    script: Script

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.database)) as con:
            return con.execute(sql, values).fetchall()

    def write(self, *statements: str) -> None:
        """Change what stands there, as somebody else would."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as con, con:
            for statement in statements:
                con.execute(statement)

    def calls(self, path: str = "%") -> int:
        return int(self.query("select count(*) from call where path like ?", path)[0][0])


@contextlib.contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Run an app on a free loopback port in a thread of this process."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the emulator did not start")
        threading.Event().wait(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


@pytest.fixture
def portal(tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """An emulated HubSpot, with the connection set in the environment."""
    script = Script()
    state = tmp_path / "emulators"
    with serving(hubspot.create_app(tmp_path, state, script, burst_limit=10_000)) as url:
        for name, value in hubspot.environment(url).items():
            monkeypatch.setenv(name, value)
        yield Vendor(url, state / "hubspot.sqlite", script)
