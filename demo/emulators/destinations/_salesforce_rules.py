"""Objects of the emulated Salesforce org, and what it says to a record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")


@dataclass(frozen=True)
class Field:
    """One field: `type` as describe tells it, `length` of texts, and whether records can be found by it."""

    type: str = "string"
    length: int = 255
    required: bool = False
    external: bool = False


_OWN = {
    "Id": Field("id", 18),
    "Tributary_Id__c": Field(external=True),
    "Score__c": Field("double"),
    "Vip__c": Field("boolean"),
}
_PERSON = {
    "FirstName": Field(length=40),
    "LastName": Field(length=80, required=True),
    "Email": Field("email", 80),
    "Phone": Field("phone", 40),
    "MobilePhone": Field("phone", 40),
    "Title": Field(length=128),
}
OBJECTS: Mapping[str, Mapping[str, Field]] = {
    "Contact": {**_OWN, **_PERSON, "Birthdate": Field("date"), "Interests__c": Field("multipicklist", 4099)},
    "Lead": {**_OWN, **_PERSON, "Company": Field(required=True)},
    "Account": {**_OWN, "Name": Field(required=True), "Phone": Field("phone", 40), "Industry": Field("picklist")},
    "Loyalty__c": {"Id": Field("id", 18), "Number__c": Field("double", external=True), "Since__c": Field("datetime")},
}


def external_ids(name: str) -> list[str]:
    """Fields by which an upsert may find records."""
    return [field for field, rule in OBJECTS[name].items() if rule.external]


def problem_of(name: str, held: Mapping[str, Any], line: Mapping[str, str]) -> str:
    """`STATUS_CODE:text:fields --` of the first rule that a record breaks, as sf__Error has it; empty when there is none."""
    for field, value in line.items():
        rule = OBJECTS[name][field]
        if value in ("", "#N/A"):
            continue
        if rule.type == "email" and not _EMAIL.fullmatch(value):
            return f"INVALID_EMAIL_ADDRESS:{field}: invalid email address: {value}:{field} --"
        if len(value) > rule.length:
            return f"STRING_TOO_LONG:{field}: data value too large (max length={rule.length}):{field} --"
        try:
            _typed(rule.type, value)
        except ValueError:
            return f"INVALID_TYPE_ON_FIELD_IN_RECORD:{field}: value not of required type: {value}:{field} --"
    after = stored(name, held, line)
    missing = [field for field, rule in OBJECTS[name].items() if rule.required and after.get(field) is None]
    if missing:
        return f"REQUIRED_FIELD_MISSING:Required fields are missing: {missing}:{', '.join(missing)} --"
    return ""


def stored(name: str, held: Mapping[str, Any], line: Mapping[str, str]) -> dict[str, Any]:
    """The record after a line: empty cells leave a field alone, #N/A empties it."""
    after = dict(held)
    for field, value in line.items():
        if value == "#N/A":
            after.pop(field, None)
        elif value != "" and field != "Id":
            after[field] = _typed(OBJECTS[name][field].type, value)
    return after


def _typed(kind: str, value: str) -> Any:
    if kind == "double":
        number = float(value)
        return int(number) if number.is_integer() else number
    if kind == "boolean":
        if value not in ("true", "false"):
            raise ValueError(value)
        return value == "true"
    if kind == "date":
        return date.fromisoformat(value).isoformat()
    return datetime.fromisoformat(value).isoformat() if kind == "datetime" else value
