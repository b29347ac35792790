"""HubSpot's rules for single inputs, and the shapes of its answers."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Collection
from typing import Any

from starlette.responses import JSONResponse

BATCH_LIMIT = 100
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[A-Za-z]{2,}")


class ApiError(Exception):
    """An answer in HubSpot's error shape."""

    def __init__(self, status: int, category: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"status": "error", "message": message, "correlationId": "emulated", "category": category, **more}


def inputs_of(body: Any, *, need_id: bool = True) -> list[dict[str, Any]]:
    """The inputs of a batch call, checked as the vendor checks them. New objects have no id yet."""
    inputs = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(inputs, list) or not inputs:
        raise ApiError(400, "VALIDATION_ERROR", "Invalid input JSON: inputs must be a list that is not empty")
    if len(inputs) > BATCH_LIMIT:
        raise ApiError(400, "VALIDATION_ERROR", f"No more than {BATCH_LIMIT} objects can be handled in one request")
    named = all(
        isinstance(item, dict) and (not need_id or (isinstance(item.get("id"), str) and item["id"])) for item in inputs
    )
    if not named:
        raise ApiError(400, "VALIDATION_ERROR", "Invalid input JSON: every input needs an id")
    return inputs


def emails_of(inputs: list[dict[str, Any]]) -> list[str]:
    """The address of each input; properties are texts, and no address is there twice."""
    for position, item in enumerate(inputs):
        if "id" in item and item.get("idProperty") != "email":
            raise ApiError(400, "VALIDATION_ERROR", f"inputs[{position}].idProperty must name a unique property")
        if not isinstance(item.get("properties"), dict):
            raise ApiError(400, "VALIDATION_ERROR", f"inputs[{position}].properties is required")
        for name, value in item["properties"].items():
            if not isinstance(value, str):
                place = f"inputs[{position}].properties.{name}"
                message = f"Cannot deserialize value of type `java.lang.String` ({place})"
                raise ApiError(400, "VALIDATION_ERROR", f"Invalid input JSON: {message}")
    emails = [
        str(item["id"] if "id" in item else item["properties"].get("email", "")).strip().lower() for item in inputs
    ]
    if len(set(emails)) != len(emails):
        raise ApiError(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input: ids must be unique")
    return emails


def violation_of(
    item: dict[str, Any], email: str, definitions: dict[str, Any], blocked: Collection[str]
) -> ApiError | None:
    """What is wrong with one input, or None."""
    if email in blocked:
        return _invalid("email", "EMAIL_BLOCKED", "The address was erased and cannot be used again")
    if not _EMAIL.fullmatch(email):
        return _invalid("email", "INVALID_EMAIL", f"Email address {email} is invalid")
    for name, value in item["properties"].items():
        definition = definitions.get(name)
        if definition is None:
            return _invalid(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
        options = [option["value"] for option in definition.get("options", [])]
        if value and options and value not in options:
            return _invalid(name, "INVALID_OPTION", f"{value} was not one of the allowed options: {', '.join(options)}")
        if value and definition["type"] == "number" and not re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", value):
            return _invalid(name, "INVALID_LONG", f"{value} was not a valid number")
        if value and definition["type"] == "date" and not re.fullmatch(r"\d{4}-\d\d-\d\d|-?\d+", value):
            return _invalid(name, "INVALID_DATE", f"{value} was not a valid date")
    return None


def _invalid(name: str, code: str, message: str) -> ApiError:
    detail = json.dumps([{"isValid": False, "message": message, "error": code, "name": name}])
    return ApiError(
        400, "VALIDATION_ERROR", f"Property values were not valid: {detail}", context={"propertyName": [name]}
    )


def rate_error(policy: str, more: dict[str, Any]) -> ApiError:
    """The answer to one call too many."""
    return ApiError(
        429, "RATE_LIMITS", "You have reached your limit.", errorType="RATE_LIMIT", policyName=policy, **more
    )


def batch_answer(results: list[dict[str, Any]], errors: list[dict[str, Any]]) -> JSONResponse:
    """200, or 207 when some inputs failed."""
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": _time(0), "completedAt": _time(0)}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return JSONResponse(body, 207 if errors else 200)


def contact_object(contact_id: Any, properties: dict[str, str], created: int, updated: int) -> dict[str, Any]:
    """A contact as answers show it."""
    return {
        "id": str(contact_id),
        "properties": {**properties, "hs_object_id": str(contact_id)},
        "createdAt": _time(created),
        "updatedAt": _time(updated),
        "archived": False,
    }


def contact_of_row(row: sqlite3.Row, wanted: list[str] | None) -> dict[str, Any]:
    """A stored contact with the wanted properties (None: all)."""
    held = json.loads(row["properties"])
    chosen = held if wanted is None else {name: held.get(name) for name in wanted}
    return contact_object(row["id"], chosen, row["created_no"], row["updated_no"])


def _time(number: int) -> str:
    # A clock that counts writes: the same requests give the same answers.
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(1_767_225_600 + number))
