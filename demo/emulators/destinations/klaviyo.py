"""Klaviyo as far as a sync sees it: import jobs that take time and report errors, look-ups, list members, events.

Contract: Klaviyo's OpenAPI description, revision 2026-07-15, and the limits that it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.destinations import Fates
from demo.emulators.destinations._vendor import Handler, Refusal, Vendor

KEY = "demo-klaviyo-key"
LISTS = ("Y6nRLr", "XyZ123")
_REVISION = "2026-07-15"
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[A-Za-z]{2,}")
_PHONE = re.compile(r"\+[1-9]\d{7,14}")
_DAY = "2026-01-01T00:00:00+00:00"
_MEDIA = "application/vnd.api+json"


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    return {"CDP_KLAVIYO__BASE_URL": base_url, "CDP_KLAVIYO__API_KEY": KEY}


def create_app(world_dir: Path, state_dir: Path, faults: Fates) -> Starlette:
    """The emulator. `world_dir` is not read: Klaviyo holds only what it was sent."""
    return Klaviyo(state_dir, faults).app()


class Klaviyo(Vendor):
    """One account. A job is processing when first asked for, and complete from then on."""

    name = "klaviyo"
    max_bytes = 5_000_000

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """The calls of a sync."""
        jobs, members = "/api/profile-bulk-import-jobs", "/api/lists/{id}/relationships/profiles"
        return [
            ("POST", jobs, self._import),
            ("GET", f"{jobs}/{{id}}", self._job),
            ("GET", f"{jobs}/{{id}}/import-errors", self._errors),
            ("GET", "/api/profiles", self._profiles),
            ("POST", members, self._members),
            ("DELETE", members, self._members),
            ("POST", "/api/event-bulk-create-jobs", self._events),
        ]

    def authorise(self, request: Request) -> None:
        """A private key, and a revision that exists."""
        if request.headers.get("authorization") != f"Klaviyo-API-Key {KEY}":
            raise Refusal(401, self.error(401, "Incorrect authentication credentials."))
        if request.headers.get("revision") != _REVISION:
            raise Refusal(400, self.error(400, "Missing or invalid revision header."))

    def error(self, status: int, message: str, code: str = "invalid", pointer: str = "/data") -> Any:
        """JSON:API's shape."""
        named = {401: "not_authenticated", 404: "not_found", 429: "throttled"}.get(status, code)
        source = {"pointer": pointer}
        return {"errors": [{"id": "e", "code": named, "title": "Refused", "detail": message, "source": source}]}

    def _import(self, _request: Request, content: bytes) -> Response:
        profiles = self._data(content, "profile-bulk-import-job", "profiles", 10_000)
        number = str(self.count("job") + 1)
        errors = []
        for position, profile in enumerate(profiles):
            given = profile["attributes"]
            if problem := _of_profile(given, profile):
                pointer = f"/data/attributes/profiles/data/{position}"
                told = {"code": "invalid", "title": "Invalid input.", "detail": problem, "source": {"pointer": pointer}}
                errors.append({"type": "import-error", "id": f"{number}-{position}", "attributes": told})
            else:
                email = given["email"].lower()
                held = self.get("profile", email) or {"id": f"01P{self.count('profile') + 1:023d}"}
                properties = {**held.get("properties", {}), **given.get("properties", {})}
                self.put("profile", email, {**held, **given, "email": email, "properties": properties})
        job = {"status": "queued", "total_count": len(profiles), "failed_count": len(errors), "errors": errors}
        self.put("job", number, job)
        return JSONResponse({"data": _job(number, job)}, 202, media_type=_MEDIA)

    def _job(self, request: Request, _content: bytes) -> Response:
        number = request.path_params["id"]
        job = self._known("job", number)
        job["status"] = {"queued": "processing"}.get(job["status"], "complete")
        self.put("job", number, job)
        return JSONResponse({"data": _job(number, job)}, media_type=_MEDIA)

    def _errors(self, request: Request, _content: bytes) -> Response:
        number = request.path_params["id"]
        errors = self._known("job", number)["errors"]
        size, start = int(request.query_params.get("page[size]", 20)), int(request.query_params.get("page[cursor]", 0))
        if not 1 <= size <= 100:
            raise Refusal(400, self.error(400, "page[size] is 1 to 100"))
        here = str(request.url.replace(query=""))
        following = f"{here}?page%5Bcursor%5D={start + size}" if len(errors) > start + size else None
        body: dict[str, Any] = {"data": errors[start : start + size], "links": {"self": here}}
        if following:
            body["links"]["next"] = following
        return JSONResponse(body, media_type=_MEDIA)

    def _profiles(self, request: Request, _content: bytes) -> Response:
        found = re.fullmatch(r"any\(email,(\[.*\])\)", request.query_params.get("filter", ""))
        emails = json.loads(found[1]) if found else None
        if not isinstance(emails, list) or not 1 <= len(emails) <= 100:
            raise Refusal(400, self.error(400, "filter takes any(email,[...]) with 1 to 100 addresses"))
        held = [profile for email in emails if (profile := self.get("profile", email)) is not None]
        here = str(request.url.replace(query=""))
        data = [
            {
                "type": "profile",
                "id": each["id"],
                "attributes": {"email": each["email"]},
                "links": {"self": f"{here}/{each['id']}"},
            }
            for each in held
        ]
        return JSONResponse({"data": data, "links": {"self": here}}, media_type=_MEDIA)

    def _members(self, request: Request, content: bytes) -> Response:
        number, given = request.path_params["id"], self.document(content).get("data")
        if number not in LISTS:
            raise Refusal(404, self.error(404, "A list with this id does not exist."))
        if not isinstance(given, list) or not 1 <= len(given) <= 1000:
            raise Refusal(400, self.error(400, "data takes 1 to 1000 profiles"))
        known = {
            json.loads(row[0])["id"]
            for row in self._db.execute("select value from held where kind = 'profile'").fetchall()
        }
        for each in given:
            if each["id"] not in known:
                raise Refusal(404, self.error(404, "A profile with this id does not exist."))
            if request.method == "POST":
                self.put("member", f"{number}/{each['id']}", {})
            else:
                self.drop("member", f"{number}/{each['id']}")
        return Response(status_code=204)

    def _events(self, _request: Request, content: bytes) -> Response:
        for entry in self._data(content, "event-bulk-create-job", "events-bulk-create", 1000):
            email = entry["attributes"]["profile"]["data"]["attributes"]["email"].lower()
            for event in entry["attributes"]["events"]["data"]:
                given = event["attributes"]
                key = f"{email}/{given['metric']['data']['attributes']['name']}/{given['unique_id']}"
                if self.get("event", key) is None:
                    self.put("event", key, given)
        return Response(status_code=202)

    def _data(self, content: bytes, kind: str, part: str, most: int) -> list[dict[str, Any]]:
        try:
            data = self.document(content)["data"]
            entries = data["attributes"][part]["data"]
            if data["type"] != kind or not all(isinstance(each["attributes"], dict) for each in entries):
                raise TypeError
        except (KeyError, TypeError):
            raise Refusal(400, self.error(400, f"the body is no {kind}")) from None
        if not 1 <= len(entries) <= most:
            raise Refusal(400, self.error(400, f"a job takes 1 to {most} of them"))
        return list(entries)

    def _known(self, kind: str, number: str) -> dict[str, Any]:
        found: dict[str, Any] | None = self.get(kind, number)
        if found is None:
            raise Refusal(404, self.error(404, f"A {kind} with this id does not exist."))
        return found


def _of_profile(given: dict[str, Any], whole: dict[str, Any]) -> str:
    if not isinstance(given.get("email"), str) or not _EMAIL.fullmatch(given["email"]):
        return "Invalid email address"
    if given.get("phone_number") is not None and not _PHONE.fullmatch(str(given["phone_number"])):
        return "Invalid phone number format (Example of a valid format: +12345678901)"
    return "The profile is larger than 100 KB" if len(json.dumps(whole).encode()) > 100_000 else ""


def _job(number: str, job: dict[str, Any]) -> dict[str, Any]:
    done = job["total_count"] - job["failed_count"]
    attributes = {
        "status": job["status"],
        "created_at": _DAY,
        "total_count": job["total_count"],
        "completed_count": done if job["status"] == "complete" else 0,
        "failed_count": job["failed_count"] if job["status"] == "complete" else 0,
    }
    here = f"https://a.klaviyo.com/api/profile-bulk-import-jobs/{number}/"
    return {"type": "profile-bulk-import-job", "id": number, "attributes": attributes, "links": {"self": here}}
