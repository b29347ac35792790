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
from reverse_etl.errors import BlastRadiusError, PlanMovedError
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


def test_plans_show_no_personal_data(project: Project, portal: Vendor) -> None:
    project.contacts(contacts(3))
    engine.run("contacts", project.settings, AS_OF)
    project.contacts([*contacts(2, score=77.0), ("fresh@example.com", "Secret Name", "lead", 5.0)])
    todo = engine.plan("contacts", project.settings)
    for text in (todo.render(), json.dumps(todo.to_dict(), ensure_ascii=False)):
        assert "example.com" not in text
        assert "Name" not in text
        assert "77" in text


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
