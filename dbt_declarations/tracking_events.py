"""A typed model for each planned track, page and screen event: `events.event_<name>`, a view with an enforced contract.

identify and group carry traits, which become attributes of persons and are not repeated here.
"""

from __future__ import annotations

from typing import Any

from cdp.declarations import Document
from cdp.sources import Source
from cdp.tracking_plan import Event, Plan, Property
from dbt_declarations.properties import properties_file
from dbt_declarations.sql import finish, text

# of conformed.event, beside the properties
CARRIED = (
    ("event_key", "varchar", "source:event_id."),
    ("source", "varchar", "Source."),
    ("sequence", "bigint", "Ingestion sequence."),
    ("occurred_at", "timestamp", "When it happened (UTC)."),
    ("channel", "varchar", "Channel."),
    ("page_path", "varchar", "Path of the page."),
)
TYPES = {
    "string": "varchar",
    "integer": "bigint",
    "number": "double",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamp",
    "object": "json",
    "array": "json",
}


def event_models(plan: Plan, sources: dict[str, Document[Source]]) -> dict[str, str]:
    """SQL by file name, and one YAML with the contracts. Only events that an active source can send."""
    inputs = {n for n in plan.settings.sources if n not in sources}
    made = {
        e.slug: e
        for _, e in sorted(plan.events.items())
        if e.type in ("track", "page", "screen") and (set(e.sources) & (set(sources) | inputs))
    }
    files = {f"event_{slug}.sql": _sql(event) for slug, event in made.items()}
    files["_events__models.yml"] = properties_file(_document(e) for e in made.values())
    return files


def property_columns(event: Event) -> list[tuple[str, str, Property]]:
    """(column, property, declaration): a property that is called like a column beside it gets `property_` before."""
    carried = {name for name, _, _ in CARRIED}
    return [(f"property_{n}" if n in carried else n, n, spec) for n, spec in event.properties.items()]


def _sql(event: Event) -> str:
    columns = [f"event.{name} as {name}" for name, _, _ in CARRIED]
    columns += [f'{_typed(name, spec)} as "{column}"' for column, name, spec in property_columns(event)]
    kind = event.type if event.type in ("page", "screen") else "track"
    query = f"""select {", ".join(columns)} from ref__event as event
where event.event_name = {text(event.name)} and event.event_type = {text(kind)}"""
    what = f"One row is one event {event.name}."
    return finish(query, schema="events", what=what, materialized="view")


def _typed(name: str, spec: Property) -> str:
    path = text(f'$."{name}"')
    if spec.type in ("object", "array"):
        return f"json_extract(event.properties, {path})"
    value = f"json_extract_string(event.properties, {path})"
    if spec.type == "string":
        return value
    if spec.type == "integer":  # a whole number may be written 1.0
        return f"try_cast(try_cast({value} as double) as bigint)"
    if spec.type == "datetime":
        return f"cast(try_cast({value} as timestamptz) at time zone 'UTC' as timestamp)"
    return f"try_cast({value} as {TYPES[spec.type]})"


def _document(event: Event) -> dict[str, Any]:
    columns: list[dict[str, Any]] = [{"name": n, "data_type": t, "description": said} for n, t, said in CARRIED]
    columns += [
        {
            "name": column,
            "data_type": TYPES[spec.type],
            "description": spec.description + (f" In {spec.unit}." if spec.unit else ""),
            "config": {"meta": {"pii": spec.pii}},
        }
        for column, _, spec in property_columns(event)
    ]
    return {
        "name": f"event_{event.slug}",
        "description": f"{event.description} Why: {event.why} One row is one event.",
        "config": {"contract": {"enforced": True}, "meta": {"owner": event.owner, "consent_purpose": event.purpose}},
        "columns": columns,
    }
