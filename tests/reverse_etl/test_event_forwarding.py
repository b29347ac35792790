"""Events of the tracking plan go to a destination, each once: what may leave, what waits, and what a wrong declaration is told."""

from __future__ import annotations

import contextlib
import json

import duckdb
import pytest

from cdp.errors import DeclarationError
from demo.emulators.faults import Fault
from reverse_etl import catalog, engine
from tests.reverse_etl.conftest import Project
from tests.reverse_etl.webhooks import AS_OF, Endpoint, endpoint

__all__ = ["endpoint"]

SYNC = """
name: forwarded
description: Orders, one by one.
owner: tests@lumen.example
source:
  events: [{events}]
  since: 2026-02-01
  sources: [{sources}]
  properties: {{{properties}}}
destination: webhook
object: events
key: event_key
person: person_id
mode: {mode}
fields: {{event: event_name, at: occurred_at, coupon: coupon, total: total, email: email}}
consent_purpose: {purpose}
schedule: "15 * * * *"
"""
PLAN = """
name: tests
owner: tests@lumen.example
description: Of the tests.
enforcement: {unplanned_event: flag, unplanned_property: flag, missing_property: flag, invalid_property: flag, misplaced_event: flag}
"""
EVENT = """
name: Order Completed
description: An order.
why: Revenue.
owner: tests@lumen.example
sources: [web]
"""
SOURCE = """
name: web
description: Events.
owner: tests@lumen.example
kind: event_log
tables: {events: {description: One event., files: "*.jsonl", format: jsonl, columns: {message_id: text}}}
"""
# event_key -> name, person, source, day, properties
EVENTS = {
    "web:1": ("Order Completed", "ann", "web", "2026-02-10", {"coupon": "C1", "total": "12.5"}),
    "web:2": ("Order Completed", "ann", "web", "2026-01-31", {}),  # before `since`
    "web:3": ("Order Completed", "ben", "web", "2026-02-10", {}),  # has not granted the purpose
    "web:4": ("Page Viewed", "ann", "web", "2026-02-10", {}),  # not chosen
    "web:5": ("Order Completed", "ann", "pos", "2026-02-10", {}),  # of another source
    "web:6": ("Order Completed", "bot", "web", "2026-02-10", {}),
    "web:7": ("Order Completed", "giant", "web", "2026-02-10", {}),
    "web:8": ("Order Completed", "ann", "web", "2026-02-10", {}),  # breaks the plan
}


def declare(project: Project, *, mode: str = "append", events: str = "Order Completed", purpose: str = "analytics", sources: str = "web",
            properties: str = "coupon: text, total: number") -> None:  # fmt: skip
    plan = project.settings.project_root / "ingest" / "tracking_plan"
    plan.mkdir(parents=True, exist_ok=True)
    (plan.parent / "sources").mkdir(exist_ok=True)
    (plan / "_plan.yml").write_text(PLAN)
    (plan / "order_completed.yml").write_text(EVENT)
    (plan.parent / "sources" / "web.yml").write_text(SOURCE)
    project.sync(
        "forwarded", SYNC.format(mode=mode, events=events, purpose=purpose, properties=properties, sources=sources)
    )


def fill(project: Project, *, more: tuple[str, ...] = ()) -> None:
    project.settings.warehouse_path.parent.mkdir(parents=True, exist_ok=True)
    columns = [
        "page_path",
        "page_url",
        "referrer",
        "utm_source",
        "utm_medium",
        "utm_campaign",
        "product_id",
        "order_id",
    ]
    rows = {**EVENTS, **{key: ("Order Completed", "ann", "web", "2026-02-11", {}) for key in more}}
    with contextlib.closing(duckdb.connect(str(project.settings.warehouse_path))) as con:
        con.execute("create schema if not exists profiles; create schema if not exists identity")
        con.execute("create schema if not exists tracking; set TimeZone = 'UTC'")
        con.execute(
            "create or replace table profiles.person_event (event_key varchar, event_name varchar, person_id varchar, source"
            " varchar, occurred_at timestamp, properties json, sequence bigint, event_id varchar, event_type varchar,"
            " received_at timestamp, channel varchar, amount decimal(18, 4), currency varchar, value decimal(18, 4), "
            + ", ".join(f"{name} varchar" for name in columns)
            + ")"
        )
        for number, (key, (name, person, source, day, properties)) in enumerate(rows.items(), 1):
            con.execute(
                "insert into profiles.person_event (event_key, event_name, person_id, source, occurred_at, properties, sequence)"
                " values (?, ?, ?, ?, ?, ?, ?)",
                [key, name, person, source, day, json.dumps(properties), number],
            )
        con.execute(
            "create or replace table profiles.person as select p.id as person_id, p.id || '@example.com' as email,"
            " null::varchar as phone, null::varchar as user_id, false as is_test, p.id = 'bot' as is_bot"
            " from (values ('ann'), ('ben'), ('bot'), ('giant')) as p(id)"
        )
        con.execute("create or replace table identity.identity_quarantine as select 'giant' as person_id")
        con.execute("create or replace table tracking.tracking_violation as select 8::bigint as sequence")
    granted = [(person, "analytics", person != "ben") for person in ("ann", "ben", "bot", "giant")]
    project.consents(granted)


def test_each_event_that_may_leave_is_sent_once(project: Project, endpoint: Endpoint) -> None:
    declare(project)
    fill(project)
    first = engine.run("forwarded", project.settings, AS_OF)
    assert (first.appended, first.ok) == (1, True)
    ((fields,),) = endpoint.query("select fields from event")
    assert json.loads(fields) == {
        "event": "Order Completed",
        "at": "2026-02-10T00:00:00.000Z",
        "coupon": "C1",
        "total": 12.5,
        "email": "ann@example.com",
    }
    assert engine.run("forwarded", project.settings, AS_OF).sent == 0
    # the endpoint applies the next batch, and the answer is lost: it is sent again under the key that it had
    calls = endpoint.calls()
    endpoint.script.by_number = {calls + 1: Fault(status=500, after_effect=True)}
    fill(project, more=("web:9",))
    assert engine.run("forwarded", project.settings, AS_OF).appended == 1
    assert endpoint.calls() == calls + 2
    assert endpoint.events() == ["web:1", "web:9"]
    # a consent that is given later lets what waited go; the gate asks again at the moment of sending
    project.consents([("ann", "analytics", False), ("ben", "analytics", True)])
    assert engine.run("forwarded", project.settings, AS_OF).appended == 1
    assert endpoint.events() == ["web:1", "web:3", "web:9"]


def test_events_that_break_the_plan_go_when_the_sync_says_so(project: Project, endpoint: Endpoint) -> None:
    declare(project)
    fill(project)
    path = project.settings.project_root / "reverse_etl" / "syncs" / "forwarded.yml"
    path.write_text(path.read_text().replace("  sources: [web]", "  in_violation: send"))
    engine.run("forwarded", project.settings, AS_OF)
    assert endpoint.events() == ["web:1", "web:5", "web:8"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"events": "Order Complete"}, 'did you mean "Order Completed"'),
        ({"sources": "wbe"}, 'did you mean "web"'),
        ({"mode": "upsert"}, "mode append and key event_key with events"),
        ({"properties": "coupon: text, total: number, email: text"}, "every event has a column of that name"),
        ({"properties": "coupon: text"}, 'has no column "total"'),
    ],
)
def test_a_wrong_forward_is_refused(project: Project, changed: dict[str, str], message: str) -> None:
    declare(project, **changed)
    with pytest.raises(DeclarationError) as raised:
        catalog.resolve("forwarded", project.settings)
    assert message in raised.value.render()
    assert "forwarded.yml:" in raised.value.render()


def test_without_consent_only_service_may_forward(project: Project, endpoint: Endpoint) -> None:
    declare(project, purpose="service")
    fill(project)
    assert engine.run("forwarded", project.settings, AS_OF).appended == 2
    assert endpoint.events() == ["web:1", "web:3"]
