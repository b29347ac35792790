"""One small world, loaded, built and delivered once by the real command; all tests that only read share it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.site import Site

PERSONS, DAYS, SEED = 300, 20, 7


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--built-world DIR`: keep the world there and use it again, while a test is being written."""
    parser.addoption("--built-world", default="", help="folder of a built world to use again (made when absent)")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What one process of pytest-xdist gets whole: a file, or all tests on the built world, so that it is built once."""
    for item in items:
        uses_world = "built_world" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("world" if uses_world else item.nodeid.split("::")[0]))


@dataclass(frozen=True)
class BuiltWorld:
    """A site whose `cdp run` has ended, and what the run said."""

    site: Site
    summary: dict[str, Any]


@pytest.fixture(scope="session")
def built_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuiltWorld]:
    """The world after one run of everything. Not to be changed: work on `built_world.site.twin(tmp_path)`."""
    kept = str(request.config.getoption("--built-world"))
    folder = Path(kept).resolve() if kept else tmp_path_factory.mktemp("built_world")
    summary = folder / "run.json"
    print(f"world: persons={PERSONS} days={DAYS} seed={SEED}")
    if summary.exists():
        site = Site(folder / "project", folder / "data")
    else:
        site = Site.make(folder)
        site.ok(
            "world", "generate", "--persons", str(PERSONS), "--days", str(DAYS), "--seed", str(SEED), "--horizon", "40"
        )
        site.ok("world", "up")
        try:
            summary.write_text(json.dumps(site.run()))
        finally:
            site.cdp("world", "down")
    yield BuiltWorld(site, json.loads(summary.read_text()))
