"""What goes wrong on the way, and that the next run sets it right without sending anything it need not."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cdp.errors import BusyError, ConfigurationError
from demo.emulators.destinations import hubspot
from demo.emulators.faults import Fault, FaultPlan, Faults
from reverse_etl import engine
from reverse_etl.ledger import Ledger
from tests.reverse_etl.conftest import Project, Script, Vendor, serving
from tests.reverse_etl.test_hubspot_sync import AS_OF, contacts, held

ROOT = Path(__file__).resolve().parents[2]


def log_lines(project: Project) -> list[dict[str, str]]:
    folder = engine.delivery_log(project.settings) / "contacts"
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def test_a_bad_row_among_good_ones_is_rejected_alone_and_retried_with_its_freshest_version(
    project: Project, portal: Vendor
) -> None:
    rows = contacts(5)
    rows[2] = ("p00002@example.x1", "Name 2", "lead", 10.0)  # the spec lets it through, HubSpot does not
    project.contacts(rows)
    first = engine.run("contacts", project.settings, AS_OF)
    assert (first.created, first.rejected, first.ok) == (4, 1, False)
    second = engine.run("contacts", project.settings, AS_OF)
    assert (second.sent, second.rejected, second.unchanged) == (1, 1, 4)
    ledger = Ledger(project.settings)
    (failure,) = ledger.open_rows("contacts")
    assert failure.attempts == 2
    assert "INVALID_EMAIL" in failure.reason
    assert "p00002" not in failure.reason, "the vendor's message quotes the address; the ledger must not"
    rows[2] = ("p00002@example.com", "Newer name", "lead", 10.0)
    project.contacts(rows)
    assert engine.run("contacts", project.settings, AS_OF).created == 1
    assert held(portal)["p00002@example.com"]["firstname"] == "Newer name"
    assert ledger.open_rows("contacts") == [], "the row that is no longer wanted is no open failure"
    by_run: dict[str, list[tuple[str, str]]] = {}
    for line in log_lines(project):
        by_run.setdefault(line["run_id"], []).append((line["key_hash"], line["status"]))
    assert [sorted(status for _, status in rows) for rows in by_run.values()] == [
        ["rejected"] + ["succeeded"] * 4, ["rejected"], ["succeeded"],
    ]  # fmt: skip


@pytest.mark.parametrize("status", [500, 502, 429])
def test_passing_faults_are_outlasted(project: Project, portal: Vendor, status: int) -> None:
    project.contacts(contacts(250))
    lost = status == 502
    portal.script.rule = lambda number, path: Fault(status, after_effect=lost) if number % 3 == 0 else None
    result = engine.run("contacts", project.settings, AS_OF)
    assert (result.created, result.ok, len(held(portal))) == (250, True, 250)


def test_an_outage_ends_the_run_early_and_the_next_one_sends_what_is_missing(project: Project, portal: Vendor) -> None:
    project.contacts(contacts(1000))
    upserts = 0

    def down_after_two_batches(number: int, path: str) -> Fault | None:
        nonlocal upserts
        upserts += path.endswith("upsert")
        return Fault(503) if path.endswith("upsert") and upserts > 2 else None

    portal.script.rule = down_after_two_batches
    first = engine.run("contacts", project.settings, AS_OF)
    # Three batches in a row end it; those under way beside them end, too.
    assert (first.created, first.failed + first.not_attempted) == (200, 800)
    assert 300 <= first.failed <= 600
    assert "3 batches in a row" in first.message
    portal.script.rule = None
    second = engine.run("contacts", project.settings, AS_OF)
    assert (second.created, second.unchanged, second.resent) == (800, 200, 0)


def test_a_lost_answer_leaves_the_row_in_doubt_until_it_is_settled(project: Project, portal: Vendor) -> None:
    """Sent with score 1, answer lost; the source goes back to the acknowledged value: it must be sent all the same."""
    project.contacts(contacts(3, score=0.0))
    engine.run("contacts", project.settings, AS_OF)
    project.contacts(contacts(3, score=1.0))
    portal.script.rule = lambda number, path: Fault(500, after_effect=True) if path.endswith("upsert") else None
    assert engine.run("contacts", project.settings, AS_OF).in_doubt == 3
    assert {row["cdp_lead_score"] for row in held(portal).values()} == {"1"}
    portal.script.rule = None
    project.contacts(contacts(3, score=0.0))
    again = engine.run("contacts", project.settings, AS_OF)
    assert (again.updated, again.resent) == (3, 3)
    assert {row["cdp_lead_score"] for row in held(portal).values()} == {"0"}
    assert engine.run("contacts", project.settings, AS_OF).sent == 0


def test_a_create_in_doubt_is_deleted_in_mirror_mode_when_it_is_no_longer_wanted(
    project: Project, portal: Vendor
) -> None:
    project.contact_sync(mode="mirror")
    project.contacts(contacts(3))
    portal.script.rule = lambda number, path: Fault(500, after_effect=True) if path.endswith("upsert") else None
    engine.run("contacts", project.settings, AS_OF)
    assert len(held(portal)) == 3
    portal.script.rule = None
    project.contacts(contacts(2))
    result = engine.run("contacts", project.settings, AS_OF)
    assert (result.created, result.deleted, len(held(portal))) == (2, 1, 2)


def test_a_refused_token_ends_the_run_and_leaves_every_row_for_the_next(
    project: Project, portal: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.contacts(contacts(10))
    with monkeypatch.context() as wrong:
        wrong.setenv("CDP_HUBSPOT__TOKEN", "expired")
        with pytest.raises(ConfigurationError, match="HubSpot refuses the token"):
            engine.run("contacts", project.settings, AS_OF)
    assert held(portal) == {}
    assert engine.run("contacts", project.settings, AS_OF).created == 10


def test_a_missing_secret_is_named_before_anything_runs(project: Project) -> None:
    project.contacts(contacts(1))
    with pytest.raises(ConfigurationError, match="CDP_HUBSPOT__BASE_URL, CDP_HUBSPOT__TOKEN is not set"):
        engine.run("contacts", project.settings, AS_OF)


def test_retry_after_is_honoured(project: Project, portal: Vendor, real_waits: None) -> None:
    """The emulator notes each call that comes before the time it asked for."""
    project.contacts(contacts(1))
    portal.script.by_number = {1: Fault(429, retry_after=1), 3: Fault(429, retry_after=1)}
    assert engine.run("contacts", project.settings, AS_OF).created == 1
    assert portal.query("select count(*), sum(too_early) from call where status = 429") == [(2, 0)]


def test_two_runs_of_one_sync_at_once(project: Project, portal: Vendor) -> None:
    project.contacts(contacts(1))
    in_call, go_on = threading.Event(), threading.Event()

    def hold(number: int, path: str) -> Fault | None:
        in_call.set()
        # The emulator's thread waits here, and with it the first run.
        go_on.wait(timeout=60)
        return None

    portal.script.rule = hold
    results: list[engine.SyncResult] = []
    first = threading.Thread(target=lambda: results.append(engine.run("contacts", project.settings, AS_OF)))
    first.start()
    assert in_call.wait(timeout=60)
    try:
        with pytest.raises(BusyError, match="running already"):
            engine.run("contacts", project.settings, AS_OF)
    finally:
        go_on.set()
        first.join(timeout=60)
    assert [result.created for result in results] == [1]


def test_the_demo_worlds_usual_faults_lose_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_waits: None
) -> None:
    """A fifth of all calls fail: refused, timed out, or carried out with the answer lost; waits are real."""
    faults = Faults({"hubspot": FaultPlan(error_rate=0.2, hang_seconds=0)}, seed=11)
    with serving(hubspot.create_app(tmp_path, tmp_path / "faulty", faults)) as url:
        for name, value in hubspot.environment(url).items():
            monkeypatch.setenv(name, value)
        portal = Vendor(url, tmp_path / "faulty" / "hubspot.sqlite", Script())
        project.contacts(contacts(1500))
        assert engine.run("contacts", project.settings, AS_OF).created == 1500
        assert len(held(portal)) == 1500
        assert portal.query("select count(*) > 3 from call where status >= 500") == [(1,)]


@pytest.mark.parametrize("page", ["<html>Welcome to the hotel</html>", "[]", '{"results": null}'])
def test_answers_that_are_no_answers_fail_the_rows_and_not_the_program(
    project: Project, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    """A proxy in between answers 200 with a page of its own."""

    async def anything(request: Request) -> Response:
        return Response(page)

    with serving(Starlette(routes=[Route("/{path:path}", anything, methods=["GET", "POST"])])) as url:
        for name, value in hubspot.environment(url).items():
            monkeypatch.setenv(name, value)
        project.contacts(contacts(1))
        prepared = engine.run("contacts", project.settings, AS_OF)
        assert (prepared.not_attempted, prepared.ok) == (1, False)
        assert "hubspot cannot be prepared" in prepared.message
        # Without custom fields there is nothing to prepare, and the batch meets the page.
        text = project.settings.project_root / "reverse_etl" / "syncs" / "contacts.yml"
        kept = [line for line in text.read_text().splitlines() if not line.startswith("  cdp_")]
        text.write_text("\n".join(kept))
        sent = engine.run("contacts", project.settings, AS_OF)
        assert (sent.in_doubt, sent.ok) == (1, False)
        assert "hotel" not in str(sent)
