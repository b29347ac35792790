"""Lists of contacts: their members are set through the API (MANUAL), once (SNAPSHOT), or by a filter (DYNAMIC)."""

from __future__ import annotations

import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.destinations._hubspot_rules import ApiError

MANUAL, DYNAMIC, COMPANIES = "101", "102", "103"
_LISTS = {
    MANUAL: ("Tributary", "0-1", "MANUAL"),
    DYNAMIC: ("Customers of this year", "0-1", "DYNAMIC"),
    COMPANIES: ("Key accounts", "0-2", "MANUAL"),
}
_MOST_RECORDS = 100_000
_SCHEMA = "create table if not exists membership (list_id text, contact_id integer, primary key (list_id, contact_id))"


class Lists:
    """The lists of one portal."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._db.executescript(_SCHEMA)

    def get(self, request: Request, _body: Any) -> Response:
        """A list and its size."""
        list_id, (name, kind, processing) = self._known(request)
        size = self._db.execute("select count(*) from membership where list_id = ?", (list_id,)).fetchone()[0]
        found = {"listId": list_id, "name": name, "objectTypeId": kind, "processingType": processing, "size": size}
        return JSONResponse({"list": found})

    def change(self, request: Request, body: Any) -> Response:
        """Add and remove records by their ids. Records that do not exist are named and ignored."""
        list_id, (_, _, processing) = self._known(request)
        if processing == "DYNAMIC":
            raise ApiError(400, "VALIDATION_ERROR", "Memberships of a list that is DYNAMIC cannot be changed by hand")
        adding, removing = body.get("recordIdsToAdd"), body.get("recordIdsToRemove")
        for ids in (adding, removing):
            if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
                raise ApiError(400, "VALIDATION_ERROR", "recordIdsToAdd and recordIdsToRemove must be lists of texts")
        if len(adding) + len(removing) > _MOST_RECORDS:
            raise ApiError(400, "VALIDATION_ERROR", f"No more than {_MOST_RECORDS} records in one request")
        rows = self._db.execute("select id from contact where archived = 0").fetchall()
        known = {str(row["id"]) for row in rows}
        added = [each for each in adding if each in known and self._set(list_id, each)]
        removed = [each for each in removing if each in known and self._unset(list_id, each)]
        missing = sorted({each for each in [*adding, *removing] if each not in known})
        return JSONResponse({"recordsIdsAdded": added, "recordsIdsRemoved": removed, "recordIdsMissing": missing})

    def _known(self, request: Request) -> tuple[str, tuple[str, str, str]]:
        list_id = request.path_params["list_id"]
        if list_id not in _LISTS:
            raise ApiError(404, "OBJECT_NOT_FOUND", f"List does not exist with ID {list_id}.")
        return list_id, _LISTS[list_id]

    def _set(self, list_id: str, contact_id: str) -> bool:
        done = self._db.execute("insert or ignore into membership values (?, ?)", (list_id, contact_id))
        return done.rowcount > 0

    def _unset(self, list_id: str, contact_id: str) -> bool:
        done = self._db.execute("delete from membership where list_id = ? and contact_id = ?", (list_id, contact_id))
        return done.rowcount > 0
