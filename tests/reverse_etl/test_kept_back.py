"""What a plan keeps back, stops at and shows: invalid rows, limits, changed field maps, no personal data."""

from __future__ import annotations

import json

import pytest

from reverse_etl import engine
from reverse_etl.errors import BlastRadiusError, PlanMovedError
from tests.reverse_etl.conftest import Project, Vendor
from tests.reverse_etl.test_failures import log_lines
from tests.reverse_etl.test_hubspot_sync import AS_OF, contacts, held


def test_empty_and_repeated_keys_and_broken_rules_are_kept_back_with_their_reason(
    project: Project, portal: Vendor
) -> None:
    project.contacts(
        [
            *contacts(10),
            (None, "no key", "lead", 1.0), ("", "no key either", "lead", 1.0),
            ("twice@example.com", "one", "lead", 1.0), ("twice@example.com", "two", "lead", 2.0),
            ("stage@example.com", "x", "no such stage", 1.0),
            ("Upper@example.com", "x", "lead", 1.0),
            ("nan@example.com", "x", "lead", float("nan")),
            ("long@example.com", "x" * 1001, "lead", 1.0),
        ]
    )  # fmt: skip
    todo = engine.plan("contacts", project.settings)
    assert todo.counts["create"] == 10
    assert todo.invalid_reasons == {
        "the key appears more than once": 2,
        "the key is empty": 2,
        "cdp_lead_score: is not a finite number": 1,
        "email: does not have the form": 1,
        "firstname: is longer than 1000 characters": 1,
        "lifecyclestage: is not an accepted value": 1,
    }
    result = engine.run("contacts", project.settings, AS_OF)
    assert (result.created, result.invalid) == (10, 8)
    assert len(held(portal)) == 10
    news = [line for line in log_lines(project) if line["status"] == "invalid"]
    assert len(news) == 6
    engine.run("contacts", project.settings, AS_OF)
    assert len([line for line in log_lines(project) if line["status"] == "invalid"]) == 6, "told once, not every run"


def test_a_row_that_turns_invalid_is_not_deleted(project: Project, portal: Vendor) -> None:
    project.contact_sync(mode="mirror")
    project.contacts(contacts(30))
    engine.run("contacts", project.settings, AS_OF)
    project.contacts([*contacts(29), ("p00029@example.com", "x", "no such stage", 1.0)])
    result = engine.run("contacts", project.settings, AS_OF)
    assert (result.deleted, result.invalid, len(held(portal))) == (0, 1, 30)


def test_an_empty_source_never_empties_the_destination(project: Project, portal: Vendor) -> None:
    project.contact_sync(mode="mirror")
    project.contacts(contacts(3))
    engine.run("contacts", project.settings, AS_OF)
    project.contacts([])
    with pytest.raises(BlastRadiusError, match="no valid row, and 3 rows would be deleted"):
        engine.run("contacts", project.settings, AS_OF)
    assert len(held(portal)) == 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (contacts(40), r"60 rows would be deleted; limits.max_deletes is 50"),
        (contacts(100, score=99.0), r"100 of 100 acknowledged rows would change \(100.0 %\)"),
        ([*contacts(100), *[(f"Bad{i}", None) for i in range(40)]], r"40 of 140 rows are invalid \(28.6 %\)"),
    ],
)
def test_the_blast_radius_stops_a_run_unless_its_very_plan_is_accepted(
    project: Project, portal: Vendor, rows: list[tuple[object, ...]], message: str
) -> None:
    project.contact_sync(mode="mirror")
    project.contacts(contacts(100))
    engine.run("contacts", project.settings, AS_OF)
    before, calls = held(portal), portal.calls()
    project.contacts(rows)
    with pytest.raises(BlastRadiusError, match=message):
        engine.run("contacts", project.settings, AS_OF)
    assert (held(portal), portal.calls()) == (before, calls)
    accepted = engine.plan("contacts", project.settings).plan_id
    project.contacts([*rows, ("one-more@example.com", "x", "lead", 1.0)])
    with pytest.raises(PlanMovedError, match="no longer the plan"):
        engine.run("contacts", project.settings, AS_OF, accept=accepted)
    project.contacts(rows)
    assert engine.run("contacts", project.settings, AS_OF, accept=accepted).ok


def test_a_changed_field_map_sends_rows_again_and_says_why(project: Project, portal: Vendor) -> None:
    project.contacts(contacts(10))
    engine.run("contacts", project.settings, AS_OF)
    project.contact_sync(**{"  cdp_is_vip: is_vip\n": "  company: {column: first_name, default: unknown}\n"})
    todo = engine.plan("contacts", project.settings)
    assert todo.counts["update"] == 10
    assert "added company; removed cdp_is_vip" in todo.resync_reason
    assert todo.field_changes == {"company": 10}
    assert engine.run("contacts", project.settings, AS_OF).updated == 10
    assert held(portal)["p00000@example.com"]["company"] == "Name 0"
    assert engine.plan("contacts", project.settings).resync_reason == ""


def test_plans_show_no_personal_data(project: Project, portal: Vendor) -> None:
    project.contacts(contacts(3))
    engine.run("contacts", project.settings, AS_OF)
    project.contacts([*contacts(2, score=77.0), ("fresh@example.com", "Secret Name", "lead", 5.0)])
    todo = engine.plan("contacts", project.settings)
    for text in (todo.render(), json.dumps(todo.to_dict(), ensure_ascii=False)):
        assert "example.com" not in text
        assert "Name" not in text
        assert "77" in text
