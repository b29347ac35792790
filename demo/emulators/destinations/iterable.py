"""Iterable as far as a sync sees it: users with typed fields, static lists, events by id, failures named in a 200.

Contract: Iterable's API description (Swagger 2.0), which the tests hold every request and answer against.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.destinations import Fates
from demo.emulators.destinations._vendor import Handler, Refusal, Vendor

KEY, LISTS = "demo-iterable-key", (1234, 5678)
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_CODES = {400: "BadParams", 401: "BadApiKey", 404: "NotFound", 409: "ForgottenUserError", 413: "BatchTooLarge"}


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    return {"CDP_ITERABLE__BASE_URL": base_url, "CDP_ITERABLE__API_KEY": KEY}


def create_app(world_dir: Path, state_dir: Path, faults: Fates) -> Starlette:
    """The emulator. `world_dir` is not read: Iterable holds only what it was sent."""
    return Iterable(state_dir, faults).app()


class Iterable(Vendor):
    """A project that knows users by e-mail and takes new fields. `forgotten` holds addresses of people who were."""

    name = "iterable"
    max_bytes = 4_000_000

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """The calls of a sync."""
        return [
            ("POST", "/api/users/bulkUpdate", self._update),
            ("POST", "/api/users/merge", self._merge),
            ("DELETE", "/api/users/{email:path}", self._delete),
            ("POST", "/api/lists/subscribe", self._subscribe),
            ("POST", "/api/lists/unsubscribe", self._unsubscribe),
            ("POST", "/api/events/trackBulk", self._track),
        ]

    def authorise(self, request: Request) -> None:
        """A server-side key."""
        if request.headers.get("api-key") != KEY:
            raise Refusal(401, self.error(401, "Invalid API key"))

    def error(self, status: int, message: str, code: str = "") -> Any:
        """Iterable's shape."""
        usual = "RateLimitExceeded" if status == 429 else _CODES.get(status, "GenericError")
        return {"msg": message, "code": code or usual, "params": {}}

    def _bad(self, message: str) -> Refusal:
        return Refusal(400, self.error(400, message))

    def _entries(self, body: Mapping[str, Any], part: str, known: set[str]) -> list[dict[str, Any]]:
        entries = body.get(part)
        if set(body) - known or not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise self._bad(f"{part} must be a list of objects, and nothing else is known")
        if not 1 <= len(entries) <= 1000:
            raise Refusal(400, self.error(400, "1 to 1000 in a call", "BatchTooLarge"))
        return entries

    def _update(self, _request: Request, content: bytes) -> Response:
        body = self.document(content)
        failed: dict[str, list[str]] = {}
        created: set[str] = set()
        dropped: set[str] = set()
        users = self._entries(body, "users", {"users", "createNewFields"})
        for given in users:
            email, data = self._whose(given), given.get("dataFields", {})
            problem = self._of_person(email) or self._of_data(email, given, data)
            if problem:
                failed.setdefault(problem, []).append(given["email"])
                continue
            unknown = {name for name in data if self.get("field", name) is None and data[name] is not None}
            if body.get("createNewFields", True):
                created |= unknown
                for name in unknown:
                    self.put("field", name, _type(data[name]))
            else:
                dropped |= unknown
                data = {name: value for name, value in data.items() if name not in unknown}
            held = self.get("user", email) or {"email": email, "dataFields": {}}
            merged = {**held["dataFields"], **data}
            fields = {name: value for name, value in merged.items() if value is not None}
            self.put(
                "user",
                email,
                {**held, **({"userId": given["userId"]} if "userId" in given else {}), "dataFields": fields},
            )
        return self._counted(len(users), failed, createdFields=sorted(created), filteredOutFields=sorted(dropped))

    def _whose(self, given: Mapping[str, Any]) -> str:
        """A user of this project is known by the address."""
        if not isinstance(given.get("email"), str):
            raise self._bad("email is required in a project that knows users by e-mail")
        return given["email"].lower()

    def _of_person(self, email: str) -> str:
        if not _EMAIL.fullmatch(email):
            return "invalidEmails"
        return "forgottenEmails" if self.get("forgotten", email) is not None else ""

    def _of_data(self, email: str, given: Mapping[str, Any], data: Mapping[str, Any]) -> str:
        for name, value in data.items():
            held = self.get("field", name)
            if held is not None and value is not None and _type(value) != held:
                return "invalidDataEmails"
        if "userId" in given:
            rows = self._db.execute("select value from held where kind = 'user' and id <> ?", (email,)).fetchall()
            if any(json.loads(row[0]).get("userId") == given["userId"] for row in rows):
                return "conflictEmails"
        return ""

    def _merge(self, _request: Request, content: bytes) -> Response:
        body = self.document(content)
        if set(body) != {"sourceEmail", "destinationEmail"}:
            raise self._bad("a source and a destination")
        source, into = body["sourceEmail"].lower(), body["destinationEmail"].lower()
        if self.get("forgotten", source) or self.get("forgotten", into):
            raise Refusal(409, self.error(409, "Source or destination user forgotten"))
        user = self.get("user", source)
        if user is None:
            raise Refusal(400, self.error(400, "Source user does not exist", "UnknownEmailError"))
        other = self.get("user", into) or {"email": into, "dataFields": {}}
        self.drop("user", source)
        self.put("user", into, {**user, **other, "dataFields": {**user["dataFields"], **other["dataFields"]}})
        for key, event in self._all("event"):
            if event["email"].lower() == source:
                self.put("event", key, {**event, "email": into})
        return JSONResponse({"code": "Success", "msg": "merged", "params": {}})

    def _delete(self, request: Request, _content: bytes) -> Response:
        self.drop("user", request.path_params["email"].lower())
        return JSONResponse({"code": "Success", "msg": "the user will be deleted", "params": {}})

    def _subscribe(self, _request: Request, content: bytes) -> Response:
        return self._members(content, {"listId", "subscribers", "updateExistingUsersOnly"}, joins=True)

    def _unsubscribe(self, _request: Request, content: bytes) -> Response:
        return self._members(content, {"listId", "subscribers", "campaignId", "channelUnsubscribe"}, joins=False)

    def _members(self, content: bytes, known: set[str], *, joins: bool) -> Response:
        body = self.document(content)
        subscribers, number = self._entries(body, "subscribers", known), body.get("listId")
        if number not in LISTS:
            raise Refusal(404, self.error(404, "The list does not exist"))
        failed: dict[str, list[str]] = {}
        for given in subscribers:
            email = self._whose(given)
            problem = self._of_person(email)
            if not problem and not joins and self.get("member", f"{number}/{email}") is None:
                problem = "notFoundEmails"
            if problem:
                failed.setdefault(problem, []).append(given["email"])
            elif joins:
                self.put("user", email, self.get("user", email) or {"email": email, "dataFields": {}})
                self.put("member", f"{number}/{email}", {})
            else:
                self.drop("member", f"{number}/{email}")
        return self._counted(len(subscribers), failed)

    def _track(self, _request: Request, content: bytes) -> Response:
        failed: dict[str, list[str]] = {}
        events = self._entries(self.document(content), "events", {"events"})
        for event in events:
            email = self._whose(event)
            if len(str(event.get("id", "")).encode()) > 512 or not isinstance(event.get("createdAt"), int):
                raise self._bad("id of at most 512 bytes, createdAt in seconds")
            if problem := self._of_person(email) or ("" if self.get("user", email) else "notFoundEmails"):
                failed.setdefault(problem, []).append(event["email"])
            else:
                self.put("event", event.get("id") or str(self.count("event")), event)
        return self._counted(len(events), failed)

    def _counted(self, number: int, failed: Mapping[str, list[str]], **more: list[str]) -> Response:
        count = sum(map(len, failed.values()))
        answer = {"successCount": number - count, "failCount": count, "failedUpdates": failed, **more}
        return JSONResponse({**answer, "invalidEmails": failed.get("invalidEmails", [])})

    def _all(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        rows = self._db.execute("select id, value from held where kind = ? order by id", (kind,)).fetchall()
        return [(row[0], json.loads(row[1])) for row in rows]


def _type(value: Any) -> str:
    """Of a field, as Iterable tells them apart."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__
