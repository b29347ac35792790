"""HubSpot CRM: contacts (batch upsert, create, update, read, archive, erasure), lists, properties, limits, errors.

Contract: developers.hubspot.com, "Contacts API", "Properties API", "Lists API", "Error handling" (207 with `objectWriteTraceId`),
"API usage guidelines" (190 calls in 10 seconds for a private app, 429 with a policy name). Property values must be
texts; a property must exist before it is written; e-mail addresses are kept in lower case.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.emulators.destinations import Fates
from demo.emulators.destinations._hubspot_lists import Lists
from demo.emulators.destinations._hubspot_properties import STAGES, Properties
from demo.emulators.destinations._hubspot_rules import (
    ApiError,
    batch_answer,
    contact_object,
    contact_of_row,
    emails_of,
    inputs_of,
    rate_error,
    violation_of,
)

TOKEN = "demo-hubspot-token"  # noqa: S105 - the emulator's own
_WINDOW_SECONDS = 10.0
_SCHEMA = """
create table if not exists contact (id integer primary key, email text unique, properties text not null,
    created_no integer not null, updated_no integer not null, archived integer not null default 0);
create index if not exists contact_updated on contact (updated_no);
create table if not exists blocked (email text primary key);
create table if not exists call (no integer primary key, method text, path text, status integer, inputs integer,
    too_early integer not null default 0);
"""


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    return {"CDP_HUBSPOT__BASE_URL": base_url, "CDP_HUBSPOT__TOKEN": TOKEN}


def create_app(world_dir: Path, state_dir: Path, faults: Fates, *, burst_limit: int = 190) -> Starlette:
    """The emulator. `world_dir` is not read: HubSpot holds only what it was sent."""
    return HubSpot(state_dir, faults, burst_limit).app()


class HubSpot:
    """State and rules of one portal."""

    def __init__(self, state_dir: Path, faults: Fates, burst_limit: int) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(state_dir / "hubspot.sqlite", check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _SCHEMA)
        self._faults, self._burst_limit = faults, burst_limit
        self._lists, self._props = Lists(self._db), Properties(self._db)
        self._numbers = itertools.count(1 + (self._db.execute("select max(no) from call").fetchone()[0] or 0))
        self._recent: deque[float] = deque()
        self._closed_until = 0.0

    def app(self) -> Starlette:
        """Routes."""
        contacts, properties = "/crm/v3/objects/contacts", "/crm/v3/properties/contacts"
        routes = [
            (f"{contacts}/batch/upsert", self._upsert, "POST"),
            (f"{contacts}/batch/create", self._create, "POST"),
            (f"{contacts}/batch/update", self._update, "POST"),
            (f"{contacts}/gdpr-delete", self._erase, "POST"),
            ("/crm/v3/lists/{list_id}", self._lists.get, "GET"),
            ("/crm/v3/lists/{list_id}/memberships/add-and-remove", self._lists.change, "PUT"),
            (f"{contacts}/batch/read", self._read, "POST"),
            (f"{contacts}/batch/archive", self._archive, "POST"),
            (contacts, self._list, "GET"),
            (properties, self._props.listed, "GET"),
            (properties, self._props.add, "POST"),
            (f"{properties}/groups", self._props.add_group, "POST"),
        ]
        return Starlette(routes=[Route(path, self._guarded(call), methods=[method]) for path, call, method in routes])

    # Rules of every call

    def _guarded(self, handler: Callable[[Request, Any], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            number, inputs = next(self._numbers), 0
            too_early = time.monotonic() < self._closed_until
            try:
                fault = self._faults.fate("hubspot", number, request.url.path)
                if fault is not None and fault.delay_seconds:
                    await asyncio.sleep(fault.delay_seconds)
                if fault is not None and not fault.after_effect:
                    raise self._fault(fault.status, fault.retry_after)
                self._check_token(request)
                self._check_rate(too_early)
                body = await self._body(request)
                inputs = len(body.get("inputs", [])) if isinstance(body, dict) else 0
                self._db.execute("begin immediate")
                try:
                    answer = handler(request, body)
                    self._db.execute("commit")
                except BaseException:
                    self._db.execute("rollback")
                    raise
                if fault is not None:
                    raise self._fault(fault.status, fault.retry_after)
            except ApiError as error:
                headers = {"Retry-After": str(error.body.pop("retryAfter"))} if "retryAfter" in error.body else {}
                answer = JSONResponse(error.body, error.status, headers)
            self._db.execute(
                "insert into call values (?, ?, ?, ?, ?, ?)",
                (number, request.method, request.url.path, answer.status_code, inputs, too_early),
            )
            return answer

        return endpoint

    def _fault(self, status: int, wait: int | None) -> ApiError:
        if wait is not None:
            self._closed_until = time.monotonic() + wait
        more = {"retryAfter": wait} if wait is not None else {}
        if status == 429:
            return rate_error("SECONDLY", more)
        return ApiError(status, "INTERNAL_ERROR" if status >= 500 else "RATE_LIMITS", "internal error", **more)

    def _check_token(self, request: Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise ApiError(401, "INVALID_AUTHENTICATION", "Authentication credentials not found or not valid.")

    def _check_rate(self, too_early: bool) -> None:
        now = time.monotonic()
        if too_early:
            raise rate_error("SECONDLY", {"retryAfter": max(1, round(self._closed_until - now + 0.5))})
        while self._recent and self._recent[0] <= now - _WINDOW_SECONDS:
            self._recent.popleft()
        if len(self._recent) >= self._burst_limit:
            raise rate_error("TEN_SECONDLY_ROLLING", {"retryAfter": 1 + int(self._recent[0] + _WINDOW_SECONDS - now)})
        self._recent.append(now)

    async def _body(self, request: Request) -> Any:
        if request.method == "GET":
            return {}
        try:
            return json.loads(await request.body())
        except ValueError:
            raise ApiError(400, "VALIDATION_ERROR", "Invalid input JSON") from None

    # Contacts

    def _upsert(self, _request: Request, body: Any) -> Response:
        return self._written(inputs_of(body), lambda email: None)

    def _create(self, _request: Request, body: Any) -> Response:
        def conflict(email: str) -> ApiError | None:
            found = self._contact(email)
            message = f"Contact already exists. Existing ID: {found['id']}" if found else ""
            return ApiError(409, "CONFLICT", message) if found else None

        return self._written(inputs_of(body, need_id=False), conflict)

    def _update(self, _request: Request, body: Any) -> Response:
        def missing(email: str) -> ApiError | None:
            message = "Could not get some CONTACT objects, they may be deleted or not exist."
            return (
                None if self._contact(email) else ApiError(404, "OBJECT_NOT_FOUND", message, context={"ids": [email]})
            )

        return self._written(inputs_of(body), missing)

    def _contact(self, email: str) -> sqlite3.Row | None:
        found = self._db.execute("select * from contact where email = ? and archived = 0", (email,)).fetchone()
        return found if found is not None else None

    def _written(self, inputs: list[dict[str, Any]], refusal: Callable[[str], ApiError | None]) -> Response:
        """Write inputs, but for those that are wrong or that `refusal` refuses by their address."""
        emails = emails_of(inputs)
        definitions = self._props.definitions()
        blocked = {row["email"] for row in self._db.execute("select email from blocked")}
        wrong = [
            violation_of(item, email, definitions, blocked) or refusal(email)
            for item, email in zip(inputs, emails, strict=True)
        ]
        # Partial results are given only to callers who mark each input; else one bad row fails the call.
        if any(wrong) and not all("objectWriteTraceId" in item for item in inputs):
            raise next(error for error in wrong if error is not None)
        results, errors = [], []
        for item, email, error in zip(inputs, emails, wrong, strict=True):
            trace = item.get("objectWriteTraceId")
            if error is None:
                results.append({**self._write(email, item["properties"]), "objectWriteTraceId": trace})
            else:
                context = {**error.body.get("context", {}), "objectWriteTraceId": [trace]}
                errors.append({**error.body, "context": context})
        return batch_answer(results, errors)

    def _erase(self, _request: Request, body: Any) -> Response:
        """For good, with its memberships. The address is blocked, known or not."""
        if not isinstance(body.get("objectId"), str) or body.get("idProperty") != "email":
            raise ApiError(400, "VALIDATION_ERROR", "objectId must be a text; without idProperty it is a record's id")
        email = body["objectId"].strip().lower()
        self._db.execute(
            "delete from membership where contact_id in (select id from contact where email = ?)", (email,)
        )
        self._db.execute("delete from contact where email = ?", (email,))
        self._db.execute("insert or ignore into blocked values (?)", (email,))
        return Response(status_code=204)

    def _write(self, email: str, properties: dict[str, str]) -> dict[str, Any]:
        number = 1 + (self._db.execute("select max(updated_no) from contact").fetchone()[0] or 0)
        found = self._db.execute("select * from contact where email = ?", (email,)).fetchone()
        is_new = found is None or bool(found["archived"])
        held: dict[str, str] = {} if found is None else json.loads(found["properties"])
        given = {**properties, "email": email}
        before, after = held.get("lifecyclestage"), given.get("lifecyclestage")
        if before in STAGES and after in STAGES and STAGES.index(after) < STAGES.index(before):
            # A stage does not go back unless it is cleared first; HubSpot says nothing and keeps the later one.
            del given["lifecyclestage"]
        held = {name: value for name, value in {**held, **given}.items() if value != ""}
        if found is None:
            cursor = self._db.execute(
                "insert into contact (email, properties, created_no, updated_no) values (?, ?, ?, ?)",
                (email, json.dumps(held, sort_keys=True, ensure_ascii=False), number, number),
            )
            contact_id, created = cursor.lastrowid, number
        else:
            contact_id, created = found["id"], found["created_no"]
            self._db.execute(
                "update contact set properties = ?, updated_no = ?, archived = 0 where id = ?",
                (json.dumps(held, sort_keys=True, ensure_ascii=False), number, contact_id),
            )
        return {**contact_object(contact_id, held, created, number), "new": is_new}

    def _read(self, _request: Request, body: Any) -> Response:
        inputs, by = inputs_of(body), body.get("idProperty")
        column = "email" if by == "email" else "id"
        results, missing = [], []
        for item in inputs:
            value = item["id"].strip().lower()
            query = f"select * from contact where {column} = ? and archived = 0"
            found = self._db.execute(query, (value,)).fetchone()
            if found is None:
                missing.append(value)
            else:
                results.append(contact_of_row(found, body.get("properties")))
        message = "Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid."
        errors = [{"status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": {"ids": missing}}]
        return batch_answer(results, errors if missing else [])

    def _archive(self, _request: Request, body: Any) -> Response:
        for item in inputs_of(body):
            self._db.execute("update contact set archived = 1 where id = ?", (item["id"],))
        return Response(status_code=204)

    def _list(self, request: Request, _body: Any) -> Response:
        limit, after = int(request.query_params.get("limit", "10")), int(request.query_params.get("after", "0"))
        if not 1 <= limit <= 100:
            raise ApiError(400, "VALIDATION_ERROR", "limit must be between 1 and 100")
        rows = self._db.execute(
            "select * from contact where archived = 0 and id > ? order by id limit ?", (after, limit + 1)
        ).fetchall()
        answer: dict[str, Any] = {"results": [contact_of_row(row, None) for row in rows[:limit]]}
        if len(rows) > limit:
            answer["paging"] = {"next": {"after": str(rows[limit - 1]["id"])}}
        return JSONResponse(answer)
