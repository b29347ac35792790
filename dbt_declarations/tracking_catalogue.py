"""The plan as tables (`tracking_event`, `tracking_property`), one day of an event (`tracking_event_day`), and their docs."""

from __future__ import annotations

import json
from typing import Any

from cdp.tracking_plan import Plan, walk
from dbt_declarations.properties import properties_file
from dbt_declarations.sql import constants, finish

EVENT_COLUMNS = (
    ("event_name", "varchar", "Name."),
    ("event_type", "varchar", "Type of the call."),
    ("label_zh", "varchar", "Chinese name."),
    ("description", "varchar", "When it is sent."),
    ("why", "varchar", "The question it answers."),
    ("owner", "varchar", "Who answers for it."),
    ("status", "varchar", "planned, live or deprecated."),
    ("plan_version", "bigint", "Version of its declaration."),
    ("sources", "varchar", "Sources that send it, as a JSON list."),
    ("purpose", "varchar", "Consent purpose."),
    ("expected_per_day", "double", "Declared volume, where there is one."),
)
PROPERTY_COLUMNS = (
    ("event_name", "varchar", "Event."),
    ("path", "varchar", "Property; products[].price is inside the items of products."),
    ("property_type", "varchar", "Type."),
    ("label_zh", "varchar", "Chinese name."),
    ("description", "varchar", "What it says."),
    ("is_required", "boolean", "An event without it breaks the plan."),
    ("allowed_values", "varchar", "The only values allowed, as a JSON list."),
    ("pattern", "varchar", "RE2 that a text matches."),
    ("unit", "varchar", "Unit."),
    ("pii", "varchar", "PII class; none."),
)
_DAY = """select
    source, event_name, event_type, is_planned, occurred_on,
    sum(events)::bigint as events,
    sum(events_in_violation)::bigint as events_in_violation,
    sum(events_blocked)::bigint as events_blocked
from ref__tracking_event_count
group by all"""


def catalogue_models(plan: Plan, judging: list[str]) -> dict[str, str]:
    """SQL and YAML by file name."""
    events = [
        (
            e.name,
            e.type,
            e.label_zh,
            e.description,
            e.why,
            e.owner,
            e.status,
            e.version,
            json.dumps(e.sources, ensure_ascii=False),
            e.purpose,
            e.expected_per_day,
        )
        for _, e in sorted(plan.events.items())
    ]
    properties = [
        (
            e.name,
            path,
            p.type,
            p.label_zh,
            p.description,
            p.required,
            json.dumps(p.values, ensure_ascii=False) if p.values else None,
            p.pattern,
            p.unit,
            p.pii,
        )
        for _, e in sorted(plan.events.items())
        for path, p in walk(e.properties)
    ]
    return {
        "tracking_event.sql": finish(
            constants([c[:2] for c in EVENT_COLUMNS], events),
            schema="tracking",
            what="One row is one event of the tracking plan.",
        ),
        "tracking_property.sql": finish(
            constants([c[:2] for c in PROPERTY_COLUMNS], properties),
            schema="tracking",
            what="One row is one property of one planned event.",
        ),
        "tracking_event_day.sql": finish(
            _DAY, schema="tracking", what="One row is one event name of one source on one day.", materialized="view"
        ),
        "_tracking__models.yml": _documents(plan, judging),
    }


def _documents(plan: Plan, judging: list[str]) -> str:
    models = [
        _model(
            "tracking_violation",
            "What broke the tracking plan. One row is one violation by one landed event; values are masked.",
            [
                ("violation_key", "sequence/position.", ["unique", "not_null"]),
                ("source", "Source, or the collector's input, that sent it.", []),
                ("table_name", "Raw table, or the staging model that was judged.", []),
                ("sequence", "Ingestion sequence of the raw row.", []),
                ("message_id", "The event's id.", []),
                ("event_type", "Type of the call.", []),
                ("event_name", "Name; where it does not look like a name, its shape.", []),
                ("rule", "What is wrong.", []),
                ("path", "Property; empty for the event as a whole.", []),
                ("found", "Shape of a text (letters x, digits 9), type of anything else.", []),
                ("action", "flag, drop or block.", []),
                ("dropped", "Property that staging leaves out.", []),
                ("sdk", "Library that sent it.", []),
                ("sdk_version", "Its version.", []),
                ("occurred_at", "When it happened (UTC).", []),
                ("plan_version", "Digest of the plan that judged it.", []),
            ],
            plan,
        ),
        _model(
            "tracking_event_count",
            "How many events came. One row is one event name of one source and day, as far as one build saw it.",
            [
                ("source", "Source.", []),
                ("table_name", "Raw table or staging model.", []),
                ("event_name", "Name.", []),
                ("event_type", "Type of the call.", []),
                ("is_planned", "The plan knows it.", []),
                ("occurred_on", "Day (UTC).", []),
                ("events", "Events that arrived, repeats included.", []),
                ("events_in_violation", "Those that broke the plan.", []),
                ("events_blocked", "Those that wait in quarantine.", []),
                ("plan_version", "Digest of the plan that judged them.", []),
                ("through_sequence", "Last ingestion number of that build.", ["not_null"]),
            ],
            plan,
        ),
        _model(
            "tracking_event_day",
            "Volume and violations. One row is one event name of one source on one day.",
            [("source", "Source.", []), ("event_name", "Name.", []), ("events", "Events that arrived.", [])],
            plan,
        ),
        _model(
            "tracking_event", "The plan's events. One row is one event.", _tested(EVENT_COLUMNS, "event_name"), plan
        ),
        _model(
            "tracking_property",
            "The plan's properties. One row is one property of one event.",
            _tested(PROPERTY_COLUMNS, ""),
            plan,
        ),
    ]
    said = "What a raw table's events, or those of staging, break. One row is one violation; append-only, by version of the plan."
    models += [_model(name, said, [], plan) for name in judging]
    return properties_file(models)


def _tested(columns: tuple[tuple[str, str, str], ...], key: str) -> list[tuple[str, str, list[str]]]:
    return [(n, said, ["unique", "not_null"] if n == key else []) for n, _, said in columns]


def _model(name: str, description: str, columns: list[tuple[str, str, list[str]]], plan: Plan) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "config": {"meta": {"owner": plan.settings.owner}},
        "columns": [
            {"name": n, "description": said} | ({"data_tests": tests} if tests else {}) for n, said, tests in columns
        ],
    }
