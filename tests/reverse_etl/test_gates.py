"""Consent at the moment of sending, frequency caps and quiet hours, doubts, alerts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdp.errors import ConfigurationError
from demo.emulators.faults import Fault
from reverse_etl import catalog, control, delivery_log
from reverse_etl.messages import MessagePolicy
from tests.reverse_etl.conftest import serving
from tests.reverse_etl.webhooks import Endpoint, endpoint

__all__ = ["endpoint"]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def logged(endpoint: Endpoint) -> list[dict[str, Any]]:
    folder = delivery_log.folder(endpoint.project.settings) / "rows"
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def test_consent_is_checked_when_a_row_is_sent_and_its_record_is_kept(endpoint: Endpoint) -> None:
    endpoint.declare("mirror", purpose="ads")
    endpoint.want({"yes": 1, "no": 1, "unknown": 1})
    endpoint.project.consents(
        [("person yes", "ads", True), ("person no", "ads", False), ("person no", "analytics", True)]
    )
    result = endpoint.run()
    assert (result.created, result.suppressed, result.ok) == (1, 2, True)
    assert endpoint.held() == {"yes": 1}
    lines = {(line["status"], line["reason"]): line for line in logged(endpoint)}
    assert lines["succeeded", ""]["consent_record"] == "consent person yes ads"
    assert ("suppressed", "consent was withdrawn") in lines
    assert ("suppressed", "no decision about the purpose is known") in lines
    endpoint.project.consents([("person yes", "ads", False), ("person no", "ads", True)])
    endpoint.want({"no": 1})
    again = endpoint.run()
    assert (again.created, again.deleted) == (1, 1), "who agrees now is sent; removing needs no consent"


def test_without_the_consents_nothing_is_sent(endpoint: Endpoint) -> None:
    endpoint.declare(purpose="ads")
    endpoint.want({"a": 1})
    with pytest.raises(ConfigurationError, match="consent cannot be checked, so nothing is sent"):
        endpoint.run()
    assert endpoint.held() == {}


@pytest.fixture
def messaging(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """The endpoint's rows are e-mails; at most one a day, none from 21 to 9 in Shanghai."""
    policy = endpoint.project.settings.project_root / "reverse_etl" / "messages.yml"
    policy.write_text(
        "timezone: Asia/Shanghai\ncaps: [{channels: [email], at_most: 1, per: day}]\n"
        'quiet_hours: [{channels: [email], since: "21:00", until: "09:00"}]\n'
    )
    spec = catalog.destination("webhook")
    objects = {name: each.model_copy(update={"message": "email"}) for name, each in spec.objects.items()}
    monkeypatch.setattr(catalog, "destination", lambda _: spec.model_copy(update={"objects": objects}))
    yield endpoint


def test_one_message_a_day_across_runs_and_a_clock_set_back(messaging: Endpoint) -> None:
    noon_there = NOON.replace(hour=4)
    messaging.want({"a": (1, None, None, "p1"), "b": (1, None, None, "p1"), "c": (1, None, None, "p2")})
    first = messaging.run(clock=lambda: noon_there)
    assert (first.created, first.suppressed) == (2, 1)
    assert messaging.run(clock=lambda: noon_there + timedelta(hours=3)).suppressed == 1
    assert messaging.run(clock=lambda: noon_there - timedelta(hours=1)).suppressed == 1, "the clock was set back"
    assert messaging.run(clock=lambda: noon_there + timedelta(days=1)).created == 1


def test_a_message_that_certainly_failed_does_not_count(messaging: Endpoint) -> None:
    there = NOON.replace(hour=4)
    messaging.want({"a": (1, "bad", None, "p1")})
    assert messaging.run(clock=lambda: there).rejected == 1
    messaging.want({"a": (1, None, None, "p1")})
    assert messaging.run(clock=lambda: there).created == 1


def test_no_message_in_quiet_hours(messaging: Endpoint) -> None:
    messaging.want({"a": 1})
    result = messaging.run(clock=lambda: NOON.replace(hour=14))  # 22:00 in Shanghai
    assert (result.created, result.suppressed) == (0, 1)
    assert control.errors("rows", messaging.project.settings)[0]["code"] == "quiet_hours"
    assert messaging.run(clock=lambda: NOON.replace(hour=2)).created == 1


@pytest.mark.parametrize(
    ("per", "moment", "since"),
    [
        ("day", datetime(2026, 3, 1, 17, tzinfo=UTC), "2026-03-01T16:00:00"),
        ("week", datetime(2026, 3, 4, 1, tzinfo=UTC), "2026-03-01T16:00:00"),
        ("month", datetime(2026, 3, 15, 1, tzinfo=UTC), "2026-02-28T16:00:00"),
    ],
)
def test_periods_begin_at_local_midnight(per: str, moment: datetime, since: str) -> None:
    rules = MessagePolicy.model_validate({"timezone": "Asia/Shanghai", "caps": [{"at_most": 1, "per": per}]})
    assert rules.since(rules.caps[0], moment).isoformat() == since


def test_held_rows_wait_for_a_person(endpoint: Endpoint) -> None:
    endpoint.declare(more="in_doubt: hold")
    endpoint.want({"a": 1, "b": 1})
    endpoint.script.rule = lambda number, path: Fault(500, after_effect=True)
    assert endpoint.run().in_doubt == 2
    endpoint.script.rule = None
    held = endpoint.run()
    assert (held.held, held.sent) == (2, 0)
    assert control.decide("rows", endpoint.project.settings, arrived=False) == 2
    assert endpoint.run().created == 2
    endpoint.want({"a": 2, "b": 1})
    endpoint.script.rule = lambda number, path: Fault(500, after_effect=True)
    endpoint.run()
    endpoint.script.rule = None
    assert control.decide("rows", endpoint.project.settings, arrived=True) == 1
    assert endpoint.run().sent == 0


def test_a_key_that_is_too_old_is_not_used_again(endpoint: Endpoint) -> None:
    endpoint.declare("append")
    endpoint.want({"a": 1})
    endpoint.script.rule = lambda number, path: Fault(500, after_effect=True)
    endpoint.run()
    endpoint.script.rule = None
    later = datetime.now(UTC) + timedelta(hours=25)
    assert endpoint.run(clock=lambda: later).held == 1
    earlier = datetime.now(UTC) - timedelta(hours=5)
    assert endpoint.run(clock=lambda: earlier).held == 1, "the clock was set back: the age is not known"
    endpoint.run()
    assert endpoint.events() == ["a"]


def test_alerts_are_told_once_and_their_end_too(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []

    async def receive(request: Request) -> Response:
        told.append(await request.json())
        return JSONResponse({})

    with serving(Starlette(routes=[Route("/alerts", receive, methods=["POST"])])) as url:
        monkeypatch.setenv("CDP_ALERTS__WEBHOOK_URL", f"{url}/alerts")
        endpoint.declare(more="alerts: {to: [webhook], rejected_percent: 10, size_deviation_percent: 100}")
        endpoint.want({"a": (1, "bad"), "b": 1})
        endpoint.run()
        endpoint.run()
        assert [(a["kind"], a["state"]) for a in told] == [("failed_run", "raised"), ("rejected_rows", "raised")]
        endpoint.want({"a": 1, "b": 1})
        endpoint.run()
        assert [(a["kind"], a["state"]) for a in told[2:]] == [
            ("failed_run", "recovered"),
            ("rejected_rows", "recovered"),
        ]
        endpoint.want({f"r{n}": 1 for n in range(9)})
        endpoint.run()
        assert [(a["kind"], a["state"]) for a in told[4:]] == [("size_deviation", "raised")]
        assert "bad" not in json.dumps(told)
