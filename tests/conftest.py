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


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes a file stays whole, as its fixtures are dear; and all files that look at the built world are one
    process's, so that it is built once."""
    from xdist.scheduler import LoadScopeScheduling

    here = Path(__file__).parent
    on_world = {
        path.relative_to(config.rootpath).as_posix()
        for path in here.rglob("test_*.py")
        if "built_world" in path.read_text(encoding="utf-8") + _conftest_of(path, here)
    }

    class WorldInOnePlace(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "world" if file in on_world else file

    return WorldInOnePlace(config, log)


def _conftest_of(path: Path, top: Path) -> str:
    conftest = path.parent / "conftest.py"
    return conftest.read_text(encoding="utf-8") if path.parent != top and conftest.exists() else ""


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
