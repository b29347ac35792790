"""A run that is killed, sources that are down, checks that hold back: nothing is lost, nothing else is held up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BuiltWorld
from tests.orchestration.story import (
    BLOCKED_SYNC,
    BLOCKED_TABLE,
    DOWN,
    SECRET,
    SECRETLESS,
    Story,
    landed_in_one_go,
    live,
    raw_rows,
    rebuilt,
)
from tests.site import DERIVED, differences

pytestmark = pytest.mark.timeout(1800)  # the shared world is built in the first test that asks for it


@pytest.fixture(scope="module")
def story(built_world: BuiltWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Lived once; the tests look at different sides of it."""
    yield live(built_world.site, tmp_path_factory.mktemp("story"))


def test_a_source_that_is_down_does_not_hold_up_the_others(story: Story) -> None:
    """The run went on to dbt, where it was killed; `cdp status` knows what failed in it, and what to do."""
    red = {check["asset"]: check["reason"] for check in story.killed["failing_checks"] if check["check"] == "loaded"}
    assert sorted(red) == [f"raw/{DOWN}__tickets", f"raw/{SECRETLESS}__followers"]
    assert SECRET in red[f"raw/{SECRETLESS}__followers"], "a missing secret is named"
    assert f"ingest/sources/{DOWN}.yml" in red[f"raw/{DOWN}__tickets"]
    assert all("to do" in reason for reason in red.values())
    before = raw_rows(story.before)
    assert story.killed_raw[f"{DOWN}__tickets"] == before[f"{DOWN}__tickets"], "nothing of a failed attempt is kept"
    assert story.killed_raw["website__events"] > before["website__events"]


def test_the_next_run_catches_up(story: Story) -> None:
    """With what the killed one had left, and with the sources that could not be read."""
    assert [step for step in story.bad["failed_steps"] if not step.startswith("expect_")] == []
    assert [name for name in story.bad["failed_checks"] if name.endswith(": loaded")] == []
    for table in (f"{DOWN}__tickets", f"{SECRETLESS}__followers"):
        assert story.site.one(f"select count(*) from raw.{table}") > story.killed_raw[table]


def test_a_failing_blocking_check_holds_back_its_sync_and_no_other(story: Story) -> None:
    """What the other syncs did is landed in the same run: the one held back does not delay it."""
    assert f"activation/{BLOCKED_TABLE}: nothing_may_leave" in story.bad["failed_checks"]
    assert story.bad["failed_steps"] == [f"expect_activation_{BLOCKED_TABLE}"]
    held = set(story.bad["held_back"])
    assert held == {f"destinations__{BLOCKED_SYNC}"}
    assert {"load_reverse_etl", "build_delivery"} <= story.bad["steps"].keys()
    assert {"destinations__sftp_segment_members", "destinations__wecom_contact_tags"} <= story.bad["steps"].keys()
    assert story.bad_deliveries[BLOCKED_SYNC] == story.deliveries_before[BLOCKED_SYNC], "nothing was sent"
    others = story.bad_deliveries.keys() - {BLOCKED_SYNC}
    assert others and all(story.bad_deliveries[name] != story.deliveries_before[name] for name in others)
    landed = story.site.query("select sync, run_id from raw.reverse_etl__sync_runs")
    assert {(name, story.bad_deliveries[name]) for name in others} <= set(landed)


def test_what_was_held_back_goes_out_when_nothing_holds_it(story: Story) -> None:
    assert story.good["ok"], story.good
    assert story.good["failed_checks"] == story.good["held_back"] == []
    assert story.good_deliveries[BLOCKED_SYNC] != story.bad_deliveries[BLOCKED_SYNC]


def test_a_killed_run_is_told_as_failed(story: Story) -> None:
    """Newest first: delivered, held back, killed in dbt. A killed run must not look as if it were still going."""
    jobs = [(run["job"], run["status"]) for run in story.runs if run["job"] in ("everything", "sync_only")][:3]
    assert jobs == [("sync_only", "SUCCESS"), ("everything", "FAILURE"), ("everything", "FAILURE")]
    assert "STARTED" not in {run["status"] for run in story.runs}


def test_nothing_is_lost_or_doubled_in_raw(story: Story, tmp_path: Path) -> None:
    """A kill, a source that was down and one without its secret land, row for row, what one undisturbed load lands.

    What a sync did comes back from where it was sent (tags of WeCom, the delivery log): these may have rows on top.
    """
    straight = landed_in_one_go(story, tmp_path)
    found = differences(story.site, straight, ["raw"])
    fed_back = {name for name in found if name.startswith(("raw.reverse_etl__", "raw.wecom__"))}
    assert found.keys() - fed_back == set(), found
    assert all(found[name].endswith(" 0 only in the second") for name in fed_back), found


def test_incremental_after_all_mishaps_equals_a_rebuild_from_raw(story: Story, tmp_path: Path) -> None:
    """Increments, a kill and two threads on one side; from nothing, in one go, with one thread on the other: every table,
    every column, to the last bit; but for when kept rows were last written, which is what increments are about."""
    found = differences(story.site, rebuilt(story, tmp_path), DERIVED, ignore={"written_at"})
    # logs of what runs saw and did: they survive a full refresh, and are not to be had from raw
    logs = {
        "identity.identity_event",
        "identity.identity_history",
        "identity.identity_run",
        "profiles.household_history",
    }
    logs |= {"tags.int_tags__stays", "tags.int_tags__begun", "profiles.person_number"}
    logs |= {"identity.observation_reopened"}  # what one run takes up again; a rebuild takes up nothing
    assert found.keys() <= logs, found
    assert story.site.one("select count(*) from profiles.person") > story.before.one(
        "select count(*) from profiles.person"
    )
