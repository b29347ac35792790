"""Runs that are killed, sources that are down, checks that hold back: nothing is lost, nothing else is held up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import BuiltWorld
from tests.orchestration.story import BLOCKED_SYNC, BLOCKED_TABLE, DOWN, SECRET, SECRETLESS, Story, live, undisturbed
from tests.site import DERIVED, Site, differences


@pytest.fixture(scope="module")
def story(built_world: BuiltWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Lived once; the tests look at different sides of it."""
    yield live(built_world.site, tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="module")
def straight(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """What the same input gives without any of the mishaps."""
    return undisturbed(story, tmp_path_factory.mktemp("straight"))


def test_a_source_that_is_down_does_not_hold_up_the_others(story: Story) -> None:
    assert story.bad["failed_steps"] == []
    red = [name for name in story.bad["failed_checks"] if name.endswith(": loaded")]
    assert red == [f"raw/{DOWN}__tickets: loaded", f"raw/{SECRETLESS}__followers: loaded"]
    assert any(SECRET in error and "to do" in error for error in story.bad["errors"]), "a missing secret is named"
    assert any(f"ingest/sources/{DOWN}.yml" in error and "to do" in error for error in story.bad["errors"])
    before = dict(story.before.query("select table_name, estimated_size from duckdb_tables() where schema_name = 'raw'"))
    assert story.bad_raw[f"{DOWN}__tickets"] == before[f"{DOWN}__tickets"], "nothing of a failed attempt is kept"
    assert story.bad_raw["website__events"] > before["website__events"]


def test_a_failing_blocking_check_holds_back_its_sync_and_nothing_else(story: Story) -> None:
    assert f"activation/{BLOCKED_TABLE}: nothing_may_leave" in story.bad["failed_checks"]
    assert story.bad["held_back"] == [f"destinations__{BLOCKED_SYNC}"]
    assert {"destinations__sftp_segment_members", "destinations__wecom_contact_tags"} <= story.bad["steps"].keys()
    assert {"load_reverse_etl", "build_delivery"} <= story.bad["steps"].keys()
    deliveries = dict(story.site.query("select sync, count(distinct run_id) from delivery.delivery group by sync"))
    assert deliveries[BLOCKED_SYNC] >= 1


def test_the_next_run_catches_up(story: Story) -> None:
    assert story.good["ok"], story.good
    assert story.good["failed_checks"] == story.good["held_back"] == []
    now = story.site.one(f"select count(*) from raw.{DOWN}__tickets")
    assert now > story.bad_raw[f"{DOWN}__tickets"]


def test_killed_runs_are_told_as_failed(story: Story) -> None:
    """Newest first: good, killed in dbt, bad, killed in ingest. A killed run must not look as if it were still going."""
    assert [run["status"] for run in story.runs[:4]] == ["SUCCESS", "FAILURE", story.runs[2]["status"], "FAILURE"]
    assert "STARTED" not in {run["status"] for run in story.runs}


def test_raw_is_what_one_undisturbed_load_lands(story: Story, straight: Site) -> None:
    tables = {
        name
        for name in differences(story.site, straight, ["raw"])
        if not name.startswith(("raw.reverse_etl__", "raw._dlt"))
    }
    assert tables == set()


def test_incremental_after_all_mishaps_equals_a_rebuild_from_raw(story: Story, straight: Site) -> None:
    """Two threads, increments, two kills, a late source on one side; one thread, one go, from raw alone on the other."""
    assert differences(story.site, straight, [s for s in DERIVED if s != "segments"]) == {}
    assert differences(story.site, straight, ["segments"]) == {}
    assert story.site.one("select count(*) from profiles.person") > story.before.one("select count(*) from profiles.person")
