"""Each vendor behind the whole engine: a sync that loses every answer of its first run ends in the desired state all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from demo.emulators.destinations import google_data_manager, mailchimp, meta_audiences, tiktok_audiences
from demo.emulators.faults import Fault
from reverse_etl import engine
from reverse_etl.catalog import destination
from reverse_etl.result import SyncResult
from tests.reverse_etl.conftest import Project, Script, serving
from tests.reverse_etl.destinations.shared import Account

AS_OF = "2026-03-01T00:00:00"
COLUMNS = {"person_id": "varchar", "email": "varchar", "last_name": "varchar", "score": "double", "status": "varchar"}
SYNC = """
name: people
description: People of the tests.
owner: tests
source: snd_vendor__people
destination: {destination}
object: {object}
key: {key}
mode: mirror
fields: {fields}
consent_purpose: service
schedule: "0 3 * * *"
limits: {{max_change_percent: 100}}
options: {options}
"""

MERGES = {"person_id": "varchar", "merged_into": "varchar"}
# Those that have a call of their own for it.
MERGING = ("braze", "customerio", "iterable")
# Calls that change nothing: tokens, descriptions.
READS = ("/token", "/describe", "/merge-fields", meta_audiences.AUDIENCE)


@dataclass(frozen=True)
class Case:
    """A sync of people, and what the vendor holds of them."""

    object: str
    fields: str
    key: str
    kind: str
    # Of one held document (id, value): what tells the person, or nothing for one that does not count.
    who: Callable[[str, Any], str]
    # Whether `who` is the person's id, or one digest or document for each person.
    by: str = "person_id"
    options: str = "{}"
    # Calls whose answers are lost; those that change nothing are let through, so that the run gets as far as its effects.
    lost: str = ""


CASES = {
    "braze": Case(
        "users", "{external_id: person_id, email: email, score: score}", "person_id", "user", lambda key, _: key
    ),
    "customerio": Case(
        "people", "{id: person_id, email: email, score: score}", "person_id", "person", lambda key, _: key
    ),
    "google_data_manager": Case(
        "audience_members",
        "{email: email}",
        "email",
        "member",
        lambda key, _: key,
        "count",
        f"{{account_id: '{google_data_manager.ACCOUNT}', audience_id: '{google_data_manager.AUDIENCE}'}}",
    ),
    "iterable": Case(
        "users", "{email: email, userId: person_id, score: score}", "email", "user", lambda key, _: key, "email"
    ),
    "mailchimp": Case(
        "members",
        "{email_address: email, status: status, LNAME: last_name, SCORE: score}",
        "email",
        "member",
        lambda _, value: "" if value["archived"] else value["email_address"],
        "email",
        f"{{list_id: '{mailchimp.LIST}'}}",
    ),
    "meta_audiences": Case(
        "audience_members",
        "{external_id: person_id, email: email, last_name: last_name}",
        "person_id",
        "member",
        lambda _, value: str(value["EXTERN_ID"]),
        options=f"{{audience_id: '{meta_audiences.AUDIENCE}'}}",
    ),
    "salesforce": Case(
        "contacts",
        "{Tributary_Id__c: person_id, LastName: last_name, Email: email, Score__c: score}",
        "person_id",
        "Contact",
        lambda _, value: str(value["Tributary_Id__c"]),
        options="{external_id: Tributary_Id__c}",
        lost="Results/",
    ),
    "tiktok_audiences": Case(
        "audience_members",
        "{email: email}",
        "email",
        "member",
        lambda key, _: key,
        "count",
        f"{{audience_id: '{tiktok_audiences.AUDIENCE}'}}",
    ),
}


@dataclass(frozen=True)
class Synced:
    """A vendor, the project's sync to it, and what the project wants there."""

    name: str
    project: Project
    vendor: Account

    @property
    def case(self) -> Case:
        return CASES[self.name]

    def want(self, *people: tuple[str, float]) -> None:
        rows = [(p, f"{p}@example.com", f"李 {p}", score, "subscribed") for p, score in people]
        self.project.fill("snd_vendor__people", COLUMNS, rows)

    def run(self) -> SyncResult:
        return engine.run("people", self.project.settings, AS_OF)

    def holds(self, *people: str) -> bool:
        held = self.vendor.held(self.case.kind).items()
        there = sorted(who for key, value in held if (who := self.case.who(key, value)))
        if self.case.by == "count":
            return len(there) == len(people)
        return there == [p if self.case.by == "person_id" else f"{p}@example.com" for p in people]


@pytest.fixture
def synced(
    request: pytest.FixtureRequest, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Synced]:
    """By the name of the vendor."""
    name: str = request.param
    case, script = CASES[name], Script()
    emulator = import_module(f"demo.emulators.destinations.{name}")
    text = SYNC.format(destination=name, object=case.object, key=case.key, fields=case.fields, options=case.options)
    project.contract("snd_vendor__people", COLUMNS, "service")
    if name in MERGING:
        project.contract("snd_vendor__merges", MERGES, "service")
        project.fill("snd_vendor__merges", MERGES, [])
        text += "person: person_id\nmerges: snd_vendor__merges\n"
    project.sync("people", text)
    with serving(emulator.create_app(tmp_path, tmp_path / "emulators", script)) as url:
        for key, value in emulator.environment(url).items():
            monkeypatch.setenv(key, value)
        database = tmp_path / "emulators" / f"{name}.sqlite"
        yield Synced(name, project, Account(None, destination(name), url, database, script, []))


@pytest.mark.parametrize("synced", sorted(CASES), indirect=True)
def test_lost_answers_a_change_and_a_departure_end_in_the_desired_state(synced: Synced) -> None:
    case, script = synced.case, synced.vendor.script
    synced.want(("anna", 1), ("ben", 2), ("carl", 3))
    script.rule = lambda number, path: (
        Fault(500, after_effect=True) if case.lost in path and not path.endswith(READS) else None
    )
    lost = synced.run()
    assert (lost.succeeded, lost.in_doubt) == (0, 3)
    script.rule = None
    synced.run()
    assert synced.holds("anna", "ben", "carl")
    calls = len(synced.vendor.calls())
    assert (synced.run().sent, len(synced.vendor.calls())) == (0, calls)
    synced.want(("anna", 1), ("ben", 9), ("dora", 4))
    result = synced.run()
    assert synced.holds("anna", "ben", "dora")
    assert (result.created, result.deleted, result.failed, result.in_doubt) == (1, 1, 0, 0)


@pytest.mark.parametrize("synced", MERGING, indirect=True)
def test_a_merge_becomes_the_vendors_own_and_an_unmerge_makes_the_person_again_once(synced: Synced) -> None:
    synced.want(("anna", 1), ("ben", 2))
    synced.run()
    synced.project.fill("snd_vendor__merges", MERGES, [("ben", "anna")])
    synced.want(("anna", 3))
    result = synced.run()
    assert (result.merged, result.deleted, synced.holds("anna")) == (1, 0, True)
    synced.project.fill("snd_vendor__merges", MERGES, [])
    synced.want(("anna", 1), ("ben", 2))
    again = synced.run()
    assert (again.created, synced.holds("anna", "ben"), synced.run().sent) == (1, True, 0)
