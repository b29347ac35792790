"""Each vendor behind the whole engine: a sync that loses every answer of its first run ends in the desired state all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from demo.emulators.destinations import google_data_manager, mailchimp, meta_audiences, tiktok_audiences
from demo.emulators.faults import Fault
from reverse_etl import engine
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


@pytest.mark.parametrize("name", sorted(CASES))
def test_lost_answers_a_change_and_a_departure_end_in_the_desired_state(
    name: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, script = CASES[name], Script()
    emulator = import_module(f"demo.emulators.destinations.{name}")
    text = SYNC.format(destination=name, object=case.object, key=case.key, fields=case.fields, options=case.options)
    project.contract("snd_vendor__people", COLUMNS, "service")
    project.sync("people", text)

    def want(*people: tuple[str, float]) -> None:
        rows = [(p, f"{p}@example.com", f"李 {p}", score, "subscribed") for p, score in people]
        project.fill("snd_vendor__people", COLUMNS, rows)

    with serving(emulator.create_app(tmp_path, tmp_path / "emulators", script)) as url:
        for key, value in emulator.environment(url).items():
            monkeypatch.setenv(key, value)
        vendor = Account(None, None, url, tmp_path / "emulators" / f"{name}.sqlite", script, [])  # type: ignore[arg-type]

        def there() -> list[str]:
            return sorted(who for key, value in vendor.held(case.kind).items() if (who := case.who(key, value)))

        def agrees(*people: str) -> bool:
            if case.by == "count":
                return len(there()) == len(people)
            return there() == [p if case.by == "person_id" else f"{p}@example.com" for p in people]

        want(("anna", 1), ("ben", 2), ("carl", 3))
        script.rule = lambda number, path: (
            Fault(500, after_effect=True) if case.lost in path and not path.endswith(READS) else None
        )
        lost = engine.run("people", project.settings, AS_OF)
        assert (lost.succeeded, lost.in_doubt) == (0, 3)
        script.rule = None
        engine.run("people", project.settings, AS_OF)
        assert agrees("anna", "ben", "carl")
        calls = len(vendor.calls())
        assert (engine.run("people", project.settings, AS_OF).sent, len(vendor.calls())) == (0, calls)
        want(("anna", 1), ("ben", 9), ("dora", 4))
        result = engine.run("people", project.settings, AS_OF)
        assert agrees("anna", "ben", "dora")
        assert (result.created, result.deleted, result.failed, result.in_doubt) == (1, 1, 0, 0)
