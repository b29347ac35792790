"""`cdp live`: from the collector's log to the emulated destinations in micro-batches, beside the runs.

CDP_LIVE_AGAINST_RUN=1 also builds everything with dbt afterwards and compares what a batch had built.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdp.settings import Settings
from ingest.collector.events import TYPES, Arrival, arrival_times, record_of
from ingest.collector.log import Log
from orchestration.live_dbt import WarmDbt
from orchestration.live_due import DueSyncs
from tests.conftest import BuiltWorld
from tests.reverse_etl.conftest import Project, project
from tests.site import Site

__all__ = ["project"]


def collect(site: Site, events: list[dict[str, Any]]) -> None:
    """Write events into the collector's log as the collector does, and close the segment."""
    now = datetime.now(UTC)
    arrival = Arrival("web", "web", frozenset(TYPES), now, arrival_times(now), None, 512 * 1024)
    log = Log(site.settings.collector_path)
    log.open()
    asyncio.run(log.append([record_of(event, arrival)[1] for event in events], []))
    log.close()


def held(site: Site, emulator: str, query: str, *values: str) -> list[Any]:
    with closing(sqlite3.connect(site.data / "emulators" / f"{emulator}.sqlite")) as con:
        return [value for (value,) in con.execute(query, values).fetchall()]


def test_events_reach_their_destinations_in_micro_batches(built_world: BuiltWorld, tmp_path: Path) -> None:
    """A contact's new job title stands at HubSpot, its sign-up at the webhook, once; what comes later goes with the next batch."""
    site = built_world.site.twin(tmp_path)
    email, person, user = site.query(
        "select c.email, c.person_id, who.user_id from activation.snd_hubspot__contacts c join profiles.person_consent p"
        " on p.person_id = c.person_id and p.purpose = 'analytics' and p.is_granted join profiles.person who"
        " on who.person_id = c.person_id and who.user_id is not null where c.job_title is null order by 1"
    )[0]

    def signed_up(message: str, method: str = "email") -> dict[str, Any]:
        told = {"event": "Signed Up", "properties": {"method": method}}
        return {"type": "track", "userId": user, "messageId": message, **told}

    titled = {"type": "identify", "userId": user, "messageId": "m-1", "traits": {"title": "Reviewer"}}
    collect(site, [titled, signed_up("m-2"), signed_up("m-3", "fax")])
    site.ok("world", "up")
    following = site.start("live", "--json", "--publish-seconds", "0")
    try:
        batch = json.loads(following.printed(0))
        assert (batch["rows"], batch["failed"], batch["held"]) == (3, [], {})
        title = "select json_extract(properties, '$.jobtitle') from contact where email = ?"
        assert held(site, "hubspot", title, email) == ["Reviewer"]
        # what breaks the tracking plan is recorded, and not forwarded
        forwarded = "select key from event where key like 'collector:m-%' order by no"
        assert held(site, "webhook", forwarded) == ["collector:m-2"]
        # a client that sends an event again, long after, lands it twice in raw, and it goes once
        collect(site, [signed_up("m-2"), signed_up("m-4")])
        batch = json.loads(following.printed(1))
        assert (batch["rows"], batch["sent"]["webhook_shop_events"], batch["failed"]) == (2, 1, [])
        assert held(site, "webhook", forwarded) == ["collector:m-2", "collector:m-4"]
    finally:
        following.terminate()
        done = following.end(120)
        site.cdp("world", "down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.query("select distinct person_id from profiles.person_event where event_id in ('m-2', 'm-4')") == [
        (person,)
    ]
    violations = "select rule, path from tracking.tracking_violation where message_id = 'm-3'"
    assert site.query(violations) == [("not_allowed", "method")]
    if os.environ.get("CDP_LIVE_AGAINST_RUN"):
        tables = ["profiles.person", "activation.snd_hubspot__contacts", "segments.segment_membership"]
        rows = {t: sorted(map(repr, site.query(f"select * from {t}"))) for t in tables}
        site.dbt("run", CDP_AS_OF=batch["as_of"])
        assert {t: sorted(map(repr, site.query(f"select * from {t}"))) for t in tables} == rows


def test_a_batch_builds_what_lies_between_the_collector_and_the_syncs(built_world: BuiltWorld) -> None:
    """What a run would have changed for these syncs, and nothing else."""
    dbt = WarmDbt(built_world.site.settings)
    dbt.read(json.loads(built_world.site.settings.path("dbt", "manifest.json").read_bytes()))
    found = dbt.between(["collector__events"], ["snd_hubspot__contacts"], views=False)
    assert {"event", "record_person", "person", "snd_hubspot__contacts"} <= found
    assert not {"snd_wecom__contact_tags", "sync_delivery", "stg_collector__events", "survivorship"} & found
    assert "stg_collector__events" in dbt.between(["collector__events"], ["snd_hubspot__contacts"], views=True)
    only_forwarding = dbt.between(["collector__events"], ["person_event"], views=False)
    assert only_forwarding < found | {"tracking_event_count"}
    assert "person" not in only_forwarding
    assert "snd_hubspot__contacts" in dbt.behind("raw", "collector__events")
    assert dbt.behind("raw", "nothing__like_it") == set()


def test_live_syncs_are_always_due_and_others_when_their_time_has_come(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.contact_sync(**{'schedule: "15 * * * *"': 'schedule: "15 * * * *"\nlive: true'})
    text = (project.settings.project_root / "reverse_etl" / "syncs" / "contacts.yml").read_text()
    project.sync("hourly", text.replace("name: contacts", "name: hourly").replace("\nlive: true", ""))
    due = DueSyncs(project.settings)
    assert due.scheduled() == []
    assert [s.sync.name for s in due.now()] == ["contacts"]
    later = datetime.now(UTC) + timedelta(hours=1, minutes=1)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return later

    monkeypatch.setattr("orchestration.live_due.datetime", Clock)
    assert due.scheduled() == ["hourly"]
    assert [s.sync.name for s in due.now()] == ["contacts", "hourly"]
    due.ran("hourly")
    assert due.scheduled() == []


def test_now_goes_on_with_the_events_and_never_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CDP_AS_OF", "CDP_LANDING_DIR"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings(data_dir=tmp_path, _env_file=None)
    midnight = settings.resolve_as_of()
    received = datetime.fromisoformat(midnight + "+00:00") + timedelta(hours=25, microseconds=250_000)
    reached = settings.advance_as_of(received)
    assert datetime.fromisoformat(reached + "+00:00") - received == timedelta(microseconds=750_000)
    assert settings.resolve_as_of() == reached  # a run that follows does not go back behind the batch
    assert settings.advance_as_of(received - timedelta(hours=3)) == reached
    given = Settings(data_dir=tmp_path, as_of="2026-03-01", _env_file=None)
    assert given.advance_as_of(received) == given.resolve_as_of() == "2026-03-01T00:00:00"
