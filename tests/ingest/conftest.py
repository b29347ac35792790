"""A small project of one test: its own declarations, landing folder and warehouse, and real servers where one is needed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
import uvicorn
from starlette.applications import Starlette

from cdp.declarations import parse
from cdp.settings import Settings
from cdp.sources import Source
from cdp.warehouse import writer_lock
from ingest.pipeline import Loaded, run_source


@dataclass(frozen=True)
class Project:
    """Declarations, files and a warehouse below one folder."""

    folder: Path
    settings: Settings

    @property
    def landing(self) -> Path:
        """Where files are dropped."""
        return self.settings.landing_path

    def declare(self, name: str, text: str, kind: str = "file_drop") -> Source:
        """Write a declaration; `text` begins with `tables:` or other keys of the source."""
        path = self.settings.project_root / "ingest" / "sources" / f"{name}.yml"
        whole = f"name: {name}\ndescription: A source of the tests.\nowner: tests\nkind: {kind}\n{text}"
        path.write_text(whole, encoding="utf-8")
        return parse(whole, path, Source).value

    def drop(self, name: str, content: str | bytes) -> Path:
        """Write a file into the landing folder."""
        path = self.landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def load(self, source: Source) -> Loaded:
        """Run a source."""
        with writer_lock(self.settings, timeout=10):
            return run_source(source, self.settings)

    def query(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of the warehouse."""
        with duckdb.connect(str(self.settings.warehouse_path), read_only=True) as con:
            con.execute("set TimeZone = 'UTC'")
            return con.execute(text, list(parameters)).fetchall()

    def values(self, table: str, column: str) -> list[Any]:
        """A column of a raw table in the order of landing."""
        return [value for (value,) in self.query(f'select "{column}" from raw.{table} order by _cdp_sequence')]

    def open_rows(self) -> list[tuple[Any, ...]]:
        """(origin, position, reason, original) of the open quarantine."""
        return self.query(
            "select origin, position, reason, original from raw.raw_quarantine where quarantine_key not in "
            "(select quarantine_key from raw.raw_quarantine_replay) order by _cdp_sequence"
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    root = tmp_path / "project"
    (root / "ingest" / "sources").mkdir(parents=True)
    (tmp_path / "landing").mkdir()
    settings = Settings(
        project_root=root, data_dir=tmp_path / "data", landing_dir=tmp_path / "landing", lock_timeout=10
    )
    return Project(tmp_path, settings)


@pytest.fixture
def serve() -> Iterator[Callable[[Starlette], str]]:
    """Serve an application on a free loopback port; returns its base URL. Ended with the test."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: Starlette) -> str:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        end = time.monotonic() + 30
        while not server.started and time.monotonic() < end:
            time.sleep(0.01)
        assert server.started, "the test's server did not start"
        running.append((server, thread))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(timeout=10)
