"""Definitions of contact properties: HubSpot's own, and custom ones in groups."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.destinations._hubspot_rules import ApiError

STAGES = [
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
]
_STANDARD: dict[str, list[str] | None] = {
    **dict.fromkeys(["email", "firstname", "lastname", "phone", "company", "jobtitle", "city", "country"]),
    "lifecyclestage": [*STAGES, "other"],
}
_SCHEMA = """
create table if not exists property (name text primary key, definition text not null, position integer not null);
create table if not exists property_group (name text primary key, label text not null);
"""


class Properties:
    """The definitions of one portal."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._db.executescript(_SCHEMA)
        for position, (name, options) in enumerate(_STANDARD.items()):
            kind = "enumeration" if options else "string"
            definition = {
                "name": name,
                "label": name,
                "type": kind,
                "fieldType": "text",
                "groupName": "contactinformation",
                "options": [{"label": option, "value": option} for option in options or []],
            }
            self._db.execute(
                "insert or ignore into property values (?, ?, ?)", (name, json.dumps(definition), position)
            )

    def definitions(self) -> dict[str, Any]:
        """By name."""
        rows = self._db.execute("select name, definition from property").fetchall()
        return {row["name"]: json.loads(row["definition"]) for row in rows}

    def listed(self, _request: Request, _body: Any) -> Response:
        """All, in order."""
        rows = self._db.execute("select definition from property order by position").fetchall()
        return JSONResponse({"results": [json.loads(row["definition"]) for row in rows]})

    def add(self, _request: Request, body: Any) -> Response:
        """A custom property, in a group that exists."""
        for name in ("name", "label", "type", "fieldType", "groupName"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise ApiError(400, "VALIDATION_ERROR", f"Invalid input JSON: {name} is required")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", body["name"]):
            raise ApiError(400, "VALIDATION_ERROR", "Property names must be lower case letters, digits and underscores")
        if body["type"] not in ("string", "number", "bool", "date", "datetime", "enumeration"):
            raise ApiError(400, "VALIDATION_ERROR", "Invalid property type")
        if not self._db.execute("select 1 from property_group where name = ?", (body["groupName"],)).fetchone():
            raise ApiError(400, "VALIDATION_ERROR", "The property group does not exist")
        if self._db.execute("select 1 from property where name = ?", (body["name"],)).fetchone():
            raise ApiError(409, "OBJECT_ALREADY_EXISTS", "A property with this name exists already")
        self._db.execute(
            "insert into property select ?, ?, max(position) + 1 from property", (body["name"], json.dumps(body))
        )
        return JSONResponse(body, 201)

    def add_group(self, _request: Request, body: Any) -> Response:
        """A group."""
        if not body.get("name") or not body.get("label"):
            raise ApiError(400, "VALIDATION_ERROR", "name and label are required")
        if self._db.execute("select 1 from property_group where name = ?", (body["name"],)).fetchone():
            raise ApiError(409, "OBJECT_ALREADY_EXISTS", "A property group with this name exists already")
        self._db.execute("insert into property_group values (?, ?)", (body["name"], body["label"]))
        return JSONResponse(body, 201)
