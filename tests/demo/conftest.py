"""A small world, made once, and servers on free loopback ports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from demo.world import WorldSummary, generate

PERSONS, DAYS, SEED = 900, 40, 11


@pytest.fixture(scope="session")
def world_summary(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, WorldSummary]:
    """A world of 900 persons and 40 days, and its summary. Not to be changed by tests."""
    folder = tmp_path_factory.mktemp("demo") / "world"
    print(f"world: persons={PERSONS} days={DAYS} seed={SEED}")
    return folder, generate(PERSONS, DAYS, SEED, folder)


@pytest.fixture(scope="session")
def world(world_summary: tuple[Path, WorldSummary]) -> Path:
    """The folder of that world."""
    return world_summary[0]


@pytest.fixture
def serve() -> Iterator[Callable[[Starlette], str]]:
    """Serves an application on a free port and gives its base URL; all servers end with the test."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: Starlette) -> str:
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server ended before it started"
            time.sleep(0.01)
        running.append((server, thread))
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
