"""HubSpot CRM v3: contacts by batch upsert and batch archive, custom properties created when they are missing.

Contract: developers.hubspot.com, "Contacts" (batch upsert, read, archive), "Properties" and "Error handling". With an
`objectWriteTraceId` on every input HubSpot answers 207 and says per row what was wrong; without, one bad row fails all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from cdp.errors import ConfigurationError
from reverse_etl.catalog import MappedField
from reverse_etl.destination import Batch, BatchRejectedError, Outcome, Result, Row
from reverse_etl.destination_spec import DestinationSpec, FieldType
from reverse_etl.http import Http
from reverse_etl.pace import Pace

_CONTACTS = "/crm/v3/objects/contacts"
_PROPERTIES = "/crm/v3/properties/contacts"

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


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> HubSpot:
    """A client for `CDP_HUBSPOT__BASE_URL` with the private app's token `CDP_HUBSPOT__TOKEN`."""
    headers = {"Authorization": f"Bearer {connection['token']}"}
    return HubSpot(Http(spec, connection["base_url"], pace, headers))


class HubSpot:
    """See `reverse_etl.destination.Client`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def prepare(self, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Create the custom properties that HubSpot does not have."""
        custom = [field for field in fields if field.is_custom]
        if not custom:
            return
        answer = self._call("GET", _PROPERTIES)
        existing = {item["name"] for item in answer.json()["results"]}
        missing = [field for field in custom if field.name not in existing]
        if not missing:
            return
        group = options["property_group"]
        # 409: it exists already, which is all that is wanted. The same for properties, which a colleague may have made.
        self._call("POST", f"{_PROPERTIES}/groups", {"name": group, "label": group.capitalize()}, accept=(409,))
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
            self._call("POST", _PROPERTIES, body, accept=(409,))

    def write(self, batch: Batch) -> Result:
        """Upsert up to 100 contacts."""
        rows = batch.rows
        traces = {f"row-{position}": row for position, row in enumerate(rows)}
        inputs = [
            {
                "id": row.payload["email"],
                "idProperty": "email",
                "objectWriteTraceId": trace,
                "properties": {name: _written(value) for name, value in row.payload.items()},
            }
            for trace, row in traces.items()
        ]
        answer = self._call("POST", f"{_CONTACTS}/batch/upsert", {"inputs": inputs}).json()
        by_email = {str(row.payload["email"]): row for row in rows}
        outcomes: dict[str, Outcome] = {}
        for result in answer.get("results", []):
            row = traces.get(result.get("objectWriteTraceId")) or by_email.get(result["properties"].get("email", ""))
            if row is not None:
                outcomes[row.key] = Outcome("succeeded")
        for error in answer.get("errors", []):
            context = error.get("context", {})
            marked = [traces.get(trace) for trace in context.get("objectWriteTraceId", [])]
            named = [by_email.get(email) for email in context.get("ids", [])]
            for row in [*marked, *named]:
                if row is not None:
                    outcomes[row.key] = Outcome("rejected", _reason(error), str(error.get("category", "")))
        return Result(outcomes)

    def delete(self, batch: Batch) -> Result:
        """Archive up to 100 contacts."""
        # Archiving takes record ids only, so the addresses are looked up first. An unknown address is archived already.
        emails = {row.key: str(row.payload["email"]) for row in batch.rows}
        found = self._call(
            "POST",
            f"{_CONTACTS}/batch/read",
            {"idProperty": "email", "properties": ["email"], "inputs": [{"id": email} for email in emails.values()]},
        ).json()
        ids = [{"id": result["id"]} for result in found.get("results", [])]
        if ids:
            self._call("POST", f"{_CONTACTS}/batch/archive", {"inputs": ids})
        return Result.all_succeeded()

    def read_back(self, batch: Batch) -> dict[str, Mapping[str, Any] | None]:
        """The properties of up to 100 contacts as HubSpot holds them, as text."""
        names = sorted({name for row in batch.rows for name in row.payload})
        found = self._call(
            "POST",
            f"{_CONTACTS}/batch/read",
            {
                "idProperty": "email",
                "properties": names,
                "inputs": [{"id": str(row.payload["email"])} for row in batch.rows],
            },
        ).json()
        held = {result["properties"]["email"]: result["properties"] for result in found.get("results", [])}
        return {row.key: _as_payload(row, held.get(str(row.payload["email"]))) for row in batch.rows}

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def _call(self, method: str, path: str, body: Any = None, accept: tuple[int, ...] = ()) -> httpx.Response:
        response = self._http.request(method, path, json=body)
        status = response.status_code
        if status < 300 or status in accept:
            return response
        if status in (401, 403):
            raise ConfigurationError(
                f"HubSpot refuses the token (status {status}, {_category(response)})",
                where="hubspot",
                expected="the token of a private app with the scopes crm.objects.contacts.read/write and "
                "crm.schemas.contacts.read/write",
                fix="correct CDP_HUBSPOT__TOKEN and run again",
            )
        error = _error_of(response)
        raise BatchRejectedError(_reason(error) or f"status {status}", str(error.get("category", status)))


def _as_payload(row: Row, held: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """HubSpot holds texts: a property that reads as ours would be written is ours."""
    if held is None:
        return None
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


def _error_of(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _category(response: httpx.Response) -> str:
    return str(_error_of(response).get("category", "no category"))


def _reason(error: Mapping[str, Any]) -> str:
    parts = [str(error.get("category", "")), str(error.get("message", ""))]
    return ": ".join(part for part in parts if part)
