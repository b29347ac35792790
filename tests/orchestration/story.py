"""A bad day of the demo world: a source that is down, one without its secret, a killed run, a table that must not leave. Then all is well again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx

from tests.commands import Begun
from tests.site import Site

DOWN = "support"
SECRETLESS, SECRET = "wechat_oa", "CDP_WECHAT_OA__SECRET"
BLOCKED_TABLE, BLOCKED_SYNC = "snd_hubspot__contacts", "hubspot_contacts"
BLOCKING = """
  - name: nothing_may_leave
    unexpected_rows: select 1 from batch
    blocking: true
    why: The test says so.
    fix: Take this expectation out again.
"""
PATIENCE = 600.0


@dataclass(frozen=True)
class Story:
    """What is left to look at. `site`: after the last run. `killed`: status after the killed run, `bad` and `good`: what the two
    that came after it said."""

    site: Site
    before: Site
    killed: dict[str, Any]
    killed_raw: dict[str, int]
    bad: dict[str, Any]
    deliveries_before: dict[str, str]
    bad_deliveries: dict[str, str]
    good: dict[str, Any]
    good_deliveries: dict[str, str]
    runs: list[dict[str, Any]]


def kill_when(site: Site, ready: Callable[[], bool]) -> None:
    """Start `cdp run`, and kill -9 that one process when it is `ready`.

    What it had started itself (dbt) is left to end by itself: it must not get in the next run's way.
    """
    run = site.start("run")
    end = time.monotonic() + PATIENCE
    while not ready():
        assert run.under_way(), f"the run ended before it could be killed:\n{run.said()[-2000:]}"
        assert time.monotonic() < end, "the run never came to the place where it was to be killed"
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.end()


def in_the_middle_of_dbt(site: Site) -> Callable[[], bool]:
    """dbt is writing the models of identity."""
    log = site.data / "logs" / "run.log"
    already = log.stat().st_mtime_ns if log.exists() else 0

    def ready() -> bool:
        if not log.exists() or log.stat().st_mtime_ns == already:
            return False
        return "model identity.identifier " in log.read_text(encoding="utf-8", errors="replace")

    return ready


def break_down(site: Site, plan: dict[str, Any]) -> None:
    """Put a fault plan in force at the emulator of the source that is to be down."""
    url = (site.data / "world.env").read_text().split(f"CDP_{DOWN.upper()}__BASE_URL=")[1].splitlines()[0]
    root = url.split(f"/{DOWN}")[0]
    httpx.post(f"{root}/{DOWN}/_control", json=plan, trust_env=False).raise_for_status()


def status(site: Site) -> dict[str, Any]:
    """What `cdp status` tells, whatever its exit code."""
    return dict(json.loads(site.cdp("status", "--json").stdout))


def last_deliveries(site: Site) -> dict[str, str]:
    """The last run of each sync."""
    told = json.loads(site.cdp("sync", "status", "--json").stdout)
    return {sync["sync"]: sync["runs"][0]["run_id"] for sync in told}


def raw_rows(site: Site) -> dict[str, int]:
    """Rows of each raw table."""
    return dict(site.query("select table_name, estimated_size from duckdb_tables() where schema_name = 'raw'"))


def live(before: Site, folder: Path) -> Story:
    """The whole story, from a copy of a site after a good run."""
    site = before.twin(folder)
    site.ok("world", "advance", "--days", "1")
    site.ok("world", "up")
    suite = site.root / "expectations" / "activation" / f"{BLOCKED_TABLE}.yml"
    secrets = site.data / "world.env"
    as_it_was, all_secrets = suite.read_text(), secrets.read_text()
    deliveries_before = last_deliveries(site)
    try:
        break_down(site, {"outage": {"status": 503, "retry_after": 3600}})
        secrets.write_text("".join(line for line in all_secrets.splitlines(True) if not line.startswith(SECRET)))
        kill_when(site, in_the_middle_of_dbt(site))
        killed, killed_raw = status(site), raw_rows(site)
        break_down(site, {})
        secrets.write_text(all_secrets)
        suite.write_text(as_it_was.rstrip("\n") + BLOCKING)
        bad = site.run(expect=1)
        bad_deliveries = last_deliveries(site)
        suite.write_text(as_it_was)
        good = site.run("--sync-only")
        good_deliveries = last_deliveries(site)
        runs = status(site)["runs"]
    finally:
        site.cdp("world", "down")
    return Story(site, before, killed, killed_raw, bad, deliveries_before, bad_deliveries, good, good_deliveries, runs)


def landed_in_one_go(story: Story, folder: Path) -> Site:
    """The same day landed without any mishap, and nothing built. Sources that could not be read land last, as in the story."""
    site = story.before.twin(folder)
    site.ok("world", "advance", "--days", "1")
    site.ok("world", "up")
    try:
        landing = Begun("tests.orchestration.land", [DOWN, SECRETLESS], site.root, site.env())
        assert landing.end(PATIENCE).returncode == 0
    finally:
        site.cdp("world", "down")
    return site


def rebuilt(story: Story, folder: Path) -> Site:
    """The story's raw, and all else built from it from nothing, with one thread. The history of segments is made run by run
    and cannot come from raw: it stays."""
    site = story.site.twin(folder, CDP_THREADS="1")
    with duckdb.connect(str(site.settings.warehouse_path)) as con:
        schemas = con.execute(
            "select distinct schema_name from duckdb_schemas() where database_name = current_database() "
            "and schema_name not in ('raw', 'main', 'segments', 'information_schema', 'pg_catalog') order by 1"
        ).fetchall()
        assert ("identity",) in schemas
        for (schema,) in schemas:
            con.execute(f'drop schema "{schema}" cascade')
    site.dbt("build", "--full-refresh", "--resource-type", "seed", "--resource-type", "model")
    return site
