"""Two runs at once: the second waits for the warehouse; one that may not wait says who is in its way."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cdp.warehouse import writer_lock
from tests.conftest import BuiltWorld
from tests.site import Site

pytestmark = pytest.mark.timeout(1800)  # the shared world is built in the first test that asks for it


@pytest.fixture
def site(built_world: BuiltWorld, tmp_path: Path) -> Site:
    """A copy of the built world whose destinations are not connected: `--sync-only` is a short run then."""
    return built_world.site.twin(tmp_path)


def working_hours(site: Site, run_id: str) -> tuple[float, float]:
    """When the first step of a run began and the last one ended, from what Dagster wrote down."""
    with closing(sqlite3.connect(site.data / "dagster" / "history" / "runs" / f"{run_id}.db")) as con:
        rows = con.execute(
            "select min(timestamp), max(timestamp) from event_logs where dagster_event_type in ('STEP_START', 'STEP_SUCCESS')"
        ).fetchall()
    first, last = rows[0]
    assert first and last
    return first, last


def test_the_second_run_waits_for_the_first(site: Site) -> None:
    both = [site.start("run", "--sync-only", "--json") for _ in range(2)]
    summaries = []
    for process in both:
        done = process.end(600)
        assert done.returncode == 0, done.stdout + done.stderr
        summaries.append(json.loads(done.stdout))
    earlier, later = sorted(working_hours(site, summary["run_id"]) for summary in summaries)
    assert earlier[1] <= later[0], "the two runs had the warehouse at the same time"


def test_a_run_that_may_not_wait_is_told(site: Site) -> None:
    with writer_lock(site.settings, timeout=10):
        done = site.cdp("run", "--sync-only", CDP_LOCK_TIMEOUT="0")
    told = done.stdout + done.stderr
    assert done.returncode == 4, told
    assert "another run holds the warehouse" in told and "CDP_LOCK_TIMEOUT" in told
    assert "Traceback" not in told
