"""HubSpot's contacts in all modes, static lists and erasure, through the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import _hubspot_lists, hubspot
from demo.emulators.faults import Fault
from reverse_etl import engine
from reverse_etl.destination import BatchRejectedError
from reverse_etl.ledger import Ledger
from tests.reverse_etl.conftest import Project, Vendor, portal
from tests.reverse_etl.destinations.shared import account, batch, statuses

__all__ = ["portal"]

AS_OF = "2026-03-01T00:00:00"
COLUMNS = {"email": "varchar"}
SYNC = """
name: {name}
description: HubSpot's other objects.
owner: tests
source: snd_hubspot__{name}
destination: hubspot
object: {name}
key: email
mode: {mode}
fields: {{email: email}}
consent_purpose: service
schedule: "15 * * * *"
limits: {{max_change_percent: 100, min_source_percent: 0}}
options: {options}
"""


def held(portal: Vendor) -> dict[str, dict[str, str]]:
    rows = portal.query("select email, properties from contact where archived = 0 order by email")
    return {email: json.loads(properties) for email, properties in rows}


def members(portal: Vendor) -> list[str]:
    sql = "select email from membership join contact on contact.id = contact_id order by email"
    return [email for (email,) in portal.query(sql)]


def run(project: Project, name: str, mode: str, emails: list[str], options: str = "{}") -> Any:
    project.contract(f"snd_hubspot__{name}", COLUMNS, "service")
    project.sync(name, SYNC.format(name=name, mode=mode, options=options))
    project.fill(f"snd_hubspot__{name}", COLUMNS, [(email,) for email in emails])
    return engine.run(name, project.settings, AS_OF)


@pytest.mark.parametrize(
    ("mode", "names", "rejected"),
    [
        ("upsert", {"a@example.com": "New", "b@example.com": "New"}, 0),
        ("update_only", {"a@example.com": "New"}, 1),
        ("create_only", {"a@example.com": "Old", "b@example.com": "New"}, 0),
    ],
)
def test_modes_towards_a_contact_that_is_there(
    project: Project, portal: Vendor, mode: str, names: dict[str, str], rejected: int
) -> None:
    project.contacts([("a@example.com", "Old")])
    engine.run("contacts", project.settings, AS_OF)
    project.contact_sync(mode=mode, **{"name: contacts": "name: again"})
    text = (project.settings.project_root / "reverse_etl" / "syncs" / "contacts.yml").read_text()
    project.sync("again", text)
    project.contacts([("a@example.com", "New"), ("b@example.com", "New")])
    result = engine.run("again", project.settings, AS_OF)
    assert {email: properties["firstname"] for email, properties in held(portal).items()} == names
    assert result.rejected == rejected
    if rejected:
        assert [row.code for row in Ledger(project.settings).open_rows("again")] == ["OBJECT_NOT_FOUND"]
    assert engine.run("again", project.settings, AS_OF).sent == rejected, "only what was refused is tried again"


def test_what_exists_is_left_alone_also_when_the_call_is_refused_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with account(hubspot, tmp_path) as there:
        both = batch("contacts", [{"email": "a@example.com"}, {"email": "b@example.com"}], "create_only")
        assert statuses(there.client.write(both), both) == ["succeeded", "succeeded"]
        again = there.client.write(both)
        assert [again.outcome(row.key).code for row in both.rows] == ["CONFLICT", "CONFLICT"]
        # Without trace ids HubSpot refuses the whole call with 409; a single row is then known to exist.
        call = there.client._calls.call

        def without_traces(method: str, path: str, body: Any = None, **more: Any) -> Any:
            return call(method, path, {"inputs": [{"properties": i["properties"]} for i in body["inputs"]]}, **more)

        monkeypatch.setattr(there.client._calls, "call", without_traces)
        with pytest.raises(BatchRejectedError) as told:
            there.client.write(both)
        assert told.value.code == "CONFLICT"
        one = batch("contacts", [{"email": "a@example.com"}], "create_only")
        assert statuses(there.client.write(one), one) == ["succeeded"]


def test_members_of_a_list_come_and_go(project: Project, portal: Vendor) -> None:
    emails = [f"p{n:03d}@example.com" for n in range(120)]
    project.contacts([(email, "x") for email in emails])
    engine.run("contacts", project.settings, AS_OF)
    options = f'{{list_id: "{_hubspot_lists.MANUAL}"}}'
    first = run(project, "list_memberships", "mirror", [*emails, "unknown@example.com"], options)
    assert (first.created, first.rejected, members(portal)) == (120, 1, emails)
    portal.script.rule = lambda number, path: Fault(500, after_effect=True) if number % 2 else None
    second = run(project, "list_memberships", "mirror", emails[:110], options)
    assert (second.deleted, members(portal)) == (10, emails[:110])
    portal.script.rule = None
    assert run(project, "list_memberships", "mirror", emails[:110], options).sent == 0
    assert len(held(portal)) == 120, "the contacts stay"


@pytest.mark.parametrize("list_id", [_hubspot_lists.DYNAMIC, _hubspot_lists.COMPANIES, "999"])
def test_a_list_that_cannot_be_changed_ends_the_run(project: Project, portal: Vendor, list_id: str) -> None:
    with pytest.raises(ConfigurationError, match=f"list {list_id}"):
        run(project, "list_memberships", "mirror", ["a@example.com"], f'{{list_id: "{list_id}"}}')


def test_erased_is_gone_for_good_and_cannot_come_back(project: Project, portal: Vendor) -> None:
    project.contacts([("a@example.com", "A"), ("b@example.com", "B")])
    engine.run("contacts", project.settings, AS_OF)
    result = run(project, "erasures", "delete", ["a@example.com", "never.there@example.com"])
    assert (result.deleted, list(held(portal))) == (2, ["b@example.com"])
    assert portal.query("select count(*) from contact where email = 'a@example.com'") == [(0,)], "not merely archived"
    project.contacts([("a@example.com", "again"), ("b@example.com", "B2")])
    again = engine.run("contacts", project.settings, AS_OF)
    assert (again.updated, again.rejected, list(held(portal))) == (1, 1, ["b@example.com"])
    assert run(project, "erasures", "delete", ["a@example.com", "never.there@example.com"]).sent == 0
