"""One small world, loaded, built and delivered once by the real command; all tests that only read share it."""

from __future__ import annotations

import gc
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from cdp.garbage import collect_rarely
from tests.site import Site

collect_rarely()
PERSONS, DAYS, SEED = 300, 20, 7
LONGEST = "test_bad_days.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--built-world DIR`: keep the world there and use it again, while a test is being written."""
    parser.addoption("--built-world", default="", help="folder of a built world to use again (made when absent)")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes a file stays whole, as its fixtures are dear."""
    from xdist.scheduler import LoadScopeScheduling

    class FileByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.split("::", 1)[0]

    return FileByFile(config, log)


def pytest_collection_finish() -> None:
    """What is imported by now stays: nobody need look through it for garbage."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file comes first, which also builds the world; the others that look at the world come last: it is there then."""
    here = Path(__file__).parent
    asks = {
        path
        for path in {item.path for item in items}
        if "built_world" in path.read_text(encoding="utf-8") + _conftest_of(path, here)
    }
    items.sort(key=lambda item: 0 if item.path.name == LONGEST else 2 if item.path in asks else 1)


def _conftest_of(path: Path, top: Path) -> str:
    conftest = path.parent / "conftest.py"
    return conftest.read_text(encoding="utf-8") if path.parent != top and conftest.exists() else ""


@dataclass(frozen=True)
class BuiltWorld:
    """A site whose `cdp run` has ended, and what the run said."""

    site: Site
    summary: dict[str, Any]


@pytest.fixture(scope="session")
def built_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> BuiltWorld:
    """The world after one run of everything. Not to be changed: work on `built_world.site.twin(tmp_path)`.

    Of several processes one builds it, and each looks at a copy of its own.
    """
    kept = request.config.getoption("--built-world")
    base = tmp_path_factory.getbasetemp()
    folder = Path(kept).resolve() if kept else (base if worker_id == "master" else base.parent) / "built_world"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        summary = folder / "run.json"
        site = Site(folder / "project", folder / "data")
        if not summary.exists():
            print(f"world: persons={PERSONS} days={DAYS} seed={SEED}")
            site = Site.make(folder)
            arguments = {"persons": PERSONS, "days": DAYS, "seed": SEED, "horizon": 40}
            site.ok("world", "generate", *(word for name, n in arguments.items() for word in (f"--{name}", str(n))))
            site.ok("world", "up")
            try:
                told = site.run()
            finally:
                site.cdp("world", "down")
            summary.write_text(json.dumps(told))
        if worker_id != "master":
            site = site.twin(tmp_path_factory.mktemp("world"))
        return BuiltWorld(site, json.loads(summary.read_text()))
