"""Contacts: batch upsert, create, update and archive; custom properties are created when they are missing.

With an `objectWriteTraceId` on every input HubSpot answers 207 and says per row what was wrong; without, one bad row fails all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reverse_etl.catalog import MappedField
from reverse_etl.destination import Batch, BatchRejectedError, Outcome, Result, Row
from reverse_etl.destination_spec import FieldType
from reverse_etl.destinations.hubspot.calls import CONTACTS, Calls, code_of, reason_of

_PROPERTIES = "/crm/v3/properties/contacts"
_EXISTS = Outcome("succeeded", "it exists already and was left alone", "CONFLICT")
# Kind of our field -> HubSpot's type and the form control it is shown with.
_PROPERTY_TYPES: dict[FieldType, tuple[str, str]] = {
    "text": ("string", "text"),
    "list": ("string", "textarea"),
    "integer": ("number", "number"),
    "number": ("number", "number"),
    "boolean": ("bool", "booleancheckbox"),
    "date": ("date", "date"),
    "datetime": ("datetime", "date"),
}


def make_properties(calls: Calls, fields: Sequence[MappedField], group: str) -> None:
    """Create the custom properties that HubSpot does not have."""
    custom = [field for field in fields if field.is_custom]
    if not custom:
        return
    existing = {item["name"] for item in calls.call("GET", _PROPERTIES).json()["results"]}
    missing = [field for field in custom if field.name not in existing]
    if not missing:
        return
    # 409: it exists already, which is all that is wanted. The same for properties, which a colleague may have made.
    calls.call("POST", f"{_PROPERTIES}/groups", {"name": group, "label": group.capitalize()}, accept=(409,))
    for field in missing:
        kind, control = _PROPERTY_TYPES[field.rule.type]
        body: dict[str, Any] = {
            "name": field.name,
            "label": field.name.removeprefix("cdp_").replace("_", " ").capitalize(),
            "type": kind,
            "fieldType": control,
            "groupName": group,
        }
        if kind == "bool":
            body["options"] = [
                {"label": label, "value": value, "displayOrder": order}
                for order, (label, value) in enumerate((("Yes", "true"), ("No", "false")))
            ]
        calls.call("POST", _PROPERTIES, body, accept=(409,))


def write(calls: Calls, batch: Batch) -> Result:
    """Upsert, create or update up to 100 contacts, as the mode says."""
    traces = {f"row-{position}": row for position, row in enumerate(batch.rows)}
    verb = {"create_only": "create", "update_only": "update"}.get(batch.mode, "upsert")
    inputs = []
    for trace, row in traces.items():
        found_by = {} if verb == "create" else {"id": row.payload["email"], "idProperty": "email"}
        properties = {name: _written(value) for name, value in row.payload.items()}
        inputs.append({**found_by, "objectWriteTraceId": trace, "properties": properties})
    try:
        answer = calls.call("POST", f"{CONTACTS}/batch/{verb}", {"inputs": inputs}).json()
    except BatchRejectedError as refused:
        if verb == "create" and refused.code == "CONFLICT" and len(batch.rows) == 1:
            return Result.of(batch.rows, _EXISTS)
        raise
    return Result(_outcomes(answer, traces, is_create=verb == "create"))


def archive(calls: Calls, batch: Batch) -> Result:
    """Archive up to 100 contacts."""
    # Archiving takes record ids only, so the addresses are looked up first. An unknown address is archived already.
    found = calls.read((str(row.payload["email"]) for row in batch.rows), [])
    if found:
        ids = [{"id": contact["id"]} for contact in found.values()]
        calls.call("POST", f"{CONTACTS}/batch/archive", {"inputs": ids})
    return Result.all_succeeded()


def read_back(calls: Calls, batch: Batch) -> dict[str, Mapping[str, Any] | None]:
    """The properties of contacts as HubSpot holds them, as text."""
    names = sorted({name for row in batch.rows for name in row.payload})
    held = calls.read((str(row.payload["email"]) for row in batch.rows), names)
    return {row.key: _as_payload(row, held.get(str(row.payload["email"]))) for row in batch.rows}


def _outcomes(answer: Mapping[str, Any], traces: Mapping[str, Row], *, is_create: bool) -> dict[str, Outcome]:
    by_email = {str(row.payload["email"]): row for row in traces.values()}
    outcomes: dict[str, Outcome] = {}
    for result in answer.get("results", []):
        row = traces.get(result.get("objectWriteTraceId")) or by_email.get(result["properties"].get("email", ""))
        if row is not None:
            outcomes[row.key] = Outcome("succeeded")
    for error in answer.get("errors", []):
        context, category = error.get("context", {}), code_of(error)
        marked = [traces.get(trace) for trace in context.get("objectWriteTraceId", [])]
        named = [by_email.get(email) for email in context.get("ids", [])]
        exists = is_create and category == "CONFLICT"
        for row in [*marked, *named]:
            if row is not None:
                outcomes[row.key] = _EXISTS if exists else Outcome("rejected", reason_of(error), category)
    return outcomes


def _as_payload(row: Row, contact: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """HubSpot holds texts: a property that reads as ours would be written is ours."""
    if contact is None:
        return None
    held = contact["properties"]
    return {
        name: value if _written(value) == (held.get(name) or "") else held.get(name)
        for name, value in row.payload.items()
    }


def _written(value: Any) -> str:
    """HubSpot takes every property value as text; empty text clears it; several values are joined with semicolons."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case list():
            return ";".join(str(item) for item in value)
        case _:
            return str(value)
