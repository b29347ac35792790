"""A bad day of the demo world: killed runs, a source that is down, a table that must not leave. Then all is well again."""

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
    """What is left to look at. `site`: after the last run. `bad`, `good`: what the two whole runs said."""

    site: Site
    before: Site
    killed_after: str
    bad: dict[str, Any]
    bad_raw: dict[str, int]
    deliveries_before: dict[str, str]
    bad_deliveries: dict[str, str]
    good: dict[str, Any]
    runs: list[dict[str, Any]]


def kill_when(site: Site, ready: Callable[[list[str]], bool]) -> list[str]:
    """Start `cdp run`, and kill -9 that one process when `ready(lines of its progress)`; the lines it had written.

    What it had started itself (dbt) is left to end by itself: it must not get in the next run's way.
    """
    run = site.start("run")
    end = time.monotonic() + PATIENCE
    while not ready(lines := run.said().splitlines()):
        assert run.under_way(), "the run ended before it could be killed:\n" + "\n".join(lines[-20:])
        assert time.monotonic() < end, "the run never came to the place where it was to be killed"
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.end()
    return lines


def in_the_middle_of_ingest(lines: list[str]) -> bool:
    """Some sources have landed, the next is under way."""
    return any("load_coupons" in line for line in lines)


def in_the_middle_of_dbt(site: Site) -> Callable[[list[str]], bool]:
    """dbt is writing the models of identity."""
    log = site.data / "logs" / "run.log"
    already = log.stat().st_mtime_ns if log.exists() else 0

    def ready(lines: list[str]) -> bool:
        if not log.exists() or log.stat().st_mtime_ns == already:
            return False
        return "model identity.identifier " in log.read_text(encoding="utf-8", errors="replace")

    return ready


def break_down(site: Site, plan: dict[str, Any]) -> None:
    """Put a fault plan in force at the emulator of the source that is to be down."""
    url = (site.data / "world.env").read_text().split(f"CDP_{DOWN.upper()}__BASE_URL=")[1].splitlines()[0]
    root = url.split(f"/{DOWN}")[0]
    httpx.post(f"{root}/{DOWN}/_control", json=plan, trust_env=False).raise_for_status()


def last_deliveries(site: Site) -> dict[str, str]:
    """The last run of each sync."""
    told = json.loads(site.cdp("sync", "status", "--json").stdout)
    return {sync["sync"]: sync["runs"][0]["run_id"] for sync in told}


def live(before: Site, folder: Path) -> Story:
    """The whole story, from a copy of a site after a good run."""
    site = before.twin(folder)
    site.ok("world", "advance", "--days", "1")
    site.ok("world", "up")
    suite = site.root / "expectations" / "activation" / f"{BLOCKED_TABLE}.yml"
    as_it_was = suite.read_text()
    deliveries_before = last_deliveries(site)
    try:
        lines = kill_when(site, in_the_middle_of_ingest)
        suite.write_text(as_it_was.rstrip("\n") + BLOCKING)
        break_down(site, {"outage": {"status": 503, "retry_after": 3600}})
        secrets = site.data / "world.env"
        all_secrets = secrets.read_text()
        secrets.write_text("".join(line for line in all_secrets.splitlines(True) if not line.startswith(SECRET)))
        bad = site.run(expect=1)
        secrets.write_text(all_secrets)
        bad_raw = dict(site.query("select table_name, estimated_size from duckdb_tables() where schema_name = 'raw'"))
        bad_deliveries = last_deliveries(site)
        suite.write_text(as_it_was)
        break_down(site, {})
        kill_when(site, in_the_middle_of_dbt(site))
        good = site.run()
        runs = json.loads(site.cdp("status", "--json").stdout)["runs"]
    finally:
        site.cdp("world", "down")
    return Story(site, before, lines[-1], bad, bad_raw, deliveries_before, bad_deliveries, good, runs)


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
    site.dbt("seed")
    site.dbt("run", "--full-refresh")
    return site
