"""One collector for the tests that only send; others start their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.collector.running import Running


@pytest.fixture(scope="session")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A running collector that all tests send to. Look for own message ids only."""
    running = Running(tmp_path_factory.mktemp("collector")).start()
    yield running
    assert running.stop() == 0
    assert not [line for line in running.errors if "Traceback" in line], "".join(running.errors)


@pytest.fixture
def own_collector(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start collectors of one's own: `own_collector(CDP_...=...)`; they are ended with the test."""
    started: list[Running] = []

    def start(folder: str = "own", **environment: str) -> Running:
        running = Running(tmp_path / folder, environment).start()
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()
