"""`cdp sync` as a person or a script meets it: what it prints and the code it leaves with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cdp import settings as settings_module
from cdp.commands.sync import app
from cdp.errors import CdpError
from demo.emulators.faults import Fault
from tests.reverse_etl.conftest import Project, Vendor
from tests.reverse_etl.test_hubspot_sync import AS_OF, contacts


@pytest.fixture(autouse=True)
def this_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "get_settings", lambda: project.settings)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def code(result: Result) -> int:
    """The exit code `cdp` gives: that of an error of ours, or the command's own."""
    return result.exception.exit_code if isinstance(result.exception, CdpError) else result.exit_code


def answer(*arguments: str) -> Any:
    return json.loads(call(*arguments, "--json").stdout)


def test_from_plan_to_status(project: Project, portal: Vendor) -> None:
    project.contacts([*contacts(4), (None, "no key")])
    shown = call("plan", "contacts")
    assert code(shown) == 0
    assert "+ 4 to create" in shown.stdout
    assert "invalid: the key is empty (1)" in shown.stdout
    assert "example.com" not in shown.stdout
    done = call("run", "contacts", "--as-of", AS_OF)
    assert (code(done), done.stdout) == (0, "contacts: 4 created, 1 invalid (run 20260301T000000-00001)\n")
    again = answer("run", "contacts", "--as-of", AS_OF)
    assert (again["sent"], again["unchanged"], again["ok"]) == (0, 4, True)
    (status,) = answer("status", "contacts")
    assert [run["status"] for run in status["runs"]] == ["succeeded", "succeeded"]
    assert status["open"] == {"invalid": 1}
    assert [row["name"] for row in answer("list")] == ["contacts"]


def test_failed_rows_give_exit_code_1_until_they_arrive(project: Project, portal: Vendor) -> None:
    project.contacts(contacts(2))
    portal.script.rule = lambda number, path: Fault(503) if path.endswith("upsert") else None
    failed = call("run", "contacts", "--as-of", AS_OF)
    assert code(failed) == 1
    assert "2 failed" in failed.stdout
    assert "cdp sync errors contacts" in failed.stdout
    status = call("status", "contacts")
    assert code(status) == 1
    assert "20260301T000000-00001  failed     2 failed" in status.stdout
    assert answer("status", "contacts")[0]["open_rows"][0]["reason"] == "no usable answer: status 503"
    portal.script.rule = None
    assert code(call("run", "contacts", "--as-of", AS_OF)) == 0
    assert code(call("status")) == 0


def test_exit_codes(project: Project, portal: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code(call("run", "nosuch", "--as-of", AS_OF)) == 2
    assert code(call("status", "nosuch")) == 2
    assert code(call("plan", "contacts")) == 3, "the source is not built"
    project.contact_sync(mode="mirror")
    project.contacts(contacts(100))
    assert code(call("run", "contacts", "--as-of", AS_OF)) == 0
    project.contacts(contacts(10))
    beyond = call("plan", "contacts")
    assert code(beyond) == 4
    assert "STOP: 90 rows would be deleted" in beyond.stdout
    assert code(call("run", "contacts", "--as-of", AS_OF)) == 4
    assert code(call("run", "contacts", "--as-of", AS_OF, "--accept", "000000000000")) == 4
    plan_id = answer("plan", "contacts")["plan_id"]
    assert code(call("run", "contacts", "--as-of", AS_OF, "--accept", plan_id)) == 0
    monkeypatch.delenv("CDP_HUBSPOT__TOKEN")
    assert code(call("run", "contacts", "--as-of", AS_OF)) == 3
    project.contact_sync(owner="Owner")
    assert code(call("list")) == 2


def test_every_command_has_an_example() -> None:
    for command in app.registered_commands:
        assert "Example: cdp sync " in (command.epilog or ""), command.name
