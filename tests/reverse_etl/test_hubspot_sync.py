"""The engine against the emulated HubSpot: every figure is checked at the vendor's side as well as in the result."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from reverse_etl import engine
from tests.reverse_etl.conftest import Project, Vendor

AS_OF = "2026-03-01T00:00:00"


def contacts(n: int, score: float = 10.0) -> list[tuple[object, ...]]:
    return [(f"p{i:05d}@example.com", f"Name {i}", "lead", score) for i in range(n)]


def held(portal: Vendor) -> dict[str, dict[str, str]]:
    rows = portal.query("select email, properties from contact where archived = 0 order by email")
    return {email: json.loads(properties) for email, properties in rows}


def test_values_arrive_as_hubspot_wants_them_and_a_second_run_sends_nothing(project: Project, portal: Vendor) -> None:
    seen = dt.datetime.fromisoformat("2026-02-03T04:05:06.789")
    project.contacts(
        [
            ("a@example.com", "王芳 😀", "customer", 12.5, True, dt.date(1990, 1, 2), seen, ["champions", "vip"]),
            ("b@example.com", "", None, None, None, None, None, None),
        ]
    )
    first = engine.run("contacts", project.settings, AS_OF)
    assert (first.created, first.sent, first.ok) == (2, 2, True)
    assert held(portal) == {
        "a@example.com": {
            "email": "a@example.com", "firstname": "王芳 😀", "lifecyclestage": "customer", "cdp_lead_score": "12.5",
            "cdp_is_vip": "true", "cdp_born_on": "1990-01-02", "cdp_seen_at": "2026-02-03T04:05:06.789Z",
            "cdp_segments": "champions;vip",
        },
        "b@example.com": {"email": "b@example.com"},
    }  # fmt: skip
    calls = portal.calls()
    second = engine.run("contacts", project.settings, AS_OF)
    assert (second.sent, second.unchanged) == (0, 2)
    assert portal.calls() == calls


def test_rows_go_in_batches_of_100(project: Project, portal: Vendor) -> None:
    project.contacts(contacts(250))
    assert engine.run("contacts", project.settings, AS_OF).created == 250
    assert portal.query("select inputs from call where path like '%upsert' order by inputs") == [(50,), (100,), (100,)]


def test_only_changed_rows_are_sent_again_and_null_clears(project: Project, portal: Vendor) -> None:
    project.contacts(contacts(30))
    engine.run("contacts", project.settings, AS_OF)
    rows = contacts(30)
    rows[3] = ("p00003@example.com", None, None, 11.0)
    project.contacts(rows)
    todo = engine.plan("contacts", project.settings)
    assert todo.counts["update"] == 1
    assert todo.field_changes == {"cdp_lead_score": 1, "firstname": 1}
    assert engine.run("contacts", project.settings, AS_OF).updated == 1
    # firstname was cleared, lifecyclestage (nulls: omit) was left as it is.
    assert held(portal)["p00003@example.com"] == {
        "email": "p00003@example.com", "lifecyclestage": "lead", "cdp_lead_score": "11",
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["upsert", "mirror"])
def test_rows_that_leave_the_source(project: Project, portal: Vendor, mode: str) -> None:
    project.contact_sync(mode=mode)
    project.contacts(contacts(30))
    engine.run("contacts", project.settings, AS_OF)
    project.contacts(contacts(28))
    result = engine.run("contacts", project.settings, AS_OF)
    assert result.deleted == (2 if mode == "mirror" else 0)
    assert len(held(portal)) == (28 if mode == "mirror" else 30)
    assert engine.run("contacts", project.settings, AS_OF).sent == 0
    project.contacts(contacts(30))
    assert engine.run("contacts", project.settings, AS_OF).created == (2 if mode == "mirror" else 0)
    assert len(held(portal)) == 30
