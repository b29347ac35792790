"""JSON Schemas: of the plan's files for editors, and of the planned events for producers and other tools."""

from __future__ import annotations

import json
from typing import Any

from cdp.declarations import json_schema
from cdp.tracking_plan import Event, Plan, PlanSettings, Property
from ingest.tracking_plan.repairs import Repair
from ingest.tracking_plan.rules import DATE, DATETIME

_TYPES = {"date": "string", "datetime": "string"}


def schemas() -> dict[str, str]:
    """File name -> text, for editors."""
    kinds = (("tracking_plan", PlanSettings), ("tracking_event", Event), ("tracking_repair", Repair))
    return {f"{n}.json": _text(json_schema(model, f"Tributary {n.replace('_', ' ')}")) for n, model in kinds}


def event_schema(event: Event) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a call in Segment's shape, as the plan wants it. Undeclared properties are allowed:
    what happens to them is a matter of enforcement."""
    place = "traits" if event.type in ("identify", "group") else "properties"
    bag = _object(event.properties)
    call: dict[str, Any] = {"type": {"const": event.type}, place: bag}
    required = ["type"]
    if event.type == "track":
        call["event"] = {"const": event.name}
        required.append("event")
    if event.call_names:
        call["name"] = {"enum": event.call_names}
        required.append("name")
    if bag["required"]:
        required.append(place)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": event.name,
        "description": event.description,
        "type": "object",
        "properties": call,
        "required": required,
        "x-version": event.version,
        "x-status": event.status,
        "x-why": event.why,
    }


def event_schemas(plan: Plan) -> dict[str, str]:
    """File name -> text: one schema an event."""
    return {f"{e.slug}.json": _text(event_schema(e)) for _, e in sorted(plan.events.items())}


def _object(properties: dict[str, Property]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: _property(spec) for name, spec in properties.items()},
        "required": [name for name, spec in properties.items() if spec.required],
    }


def _property(spec: Property) -> dict[str, Any]:
    kind = _TYPES.get(spec.type, spec.type)
    found: dict[str, Any] = {"type": kind if spec.required else [kind, "null"], "description": spec.description}
    if spec.values:
        found["enum"] = list(spec.values) if spec.required else [*spec.values, None]
    pattern = {"date": DATE, "datetime": DATETIME}.get(spec.type, spec.pattern)
    if pattern:
        found["pattern"] = f"^(?:{pattern})$"
    for key, value in (("maxLength", spec.max_length), ("minimum", spec.min), ("maximum", spec.max)):
        if value is not None:
            found[key] = value
    if spec.items is not None:
        found["items"] = _property(spec.items)
    if spec.properties:
        found |= {k: v for k, v in _object(spec.properties).items() if k != "type"}
    if spec.pii != "none":
        found["x-pii"] = spec.pii
    if spec.unit:
        found["x-unit"] = spec.unit
    if spec.example is not None:
        found["examples"] = [spec.example]
    return found


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
