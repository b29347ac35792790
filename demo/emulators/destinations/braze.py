"""Braze as far as a sync sees it: /users/track with partial errors, /users/delete, the limits and the reset header.

Contract: braze.com/docs, "Track users", "Delete users", "Merge users", "API limits".
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.destinations import Fates
from demo.emulators.destinations._vendor import Handler, Refusal, Vendor

KEY = "demo-braze-key"
_SUBSCRIPTIONS = ("opted_in", "subscribed", "unsubscribed", None)


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    return {"CDP_BRAZE__BASE_URL": base_url, "CDP_BRAZE__API_KEY": KEY}


def create_app(world_dir: Path, state_dir: Path, faults: Fates) -> Starlette:
    """The emulator. `world_dir` is not read: Braze holds only what it was sent."""
    return Braze(state_dir, faults).app()


class Braze(Vendor):
    """One workspace."""

    name = "braze"
    max_bytes = 4_000_000

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """The calls of a sync."""
        return [
            ("POST", "/users/track", self._track),
            ("POST", "/users/delete", self._delete),
            ("POST", "/users/merge", self._merge),
        ]

    def authorise(self, request: Request) -> None:
        """A REST key as a bearer token."""
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise Refusal(401, self.error(401, "Invalid API key"))

    def error(self, status: int, message: str) -> Any:
        """Braze's shape."""
        return {"message": message}

    def fault_headers(self, retry_after: int | None) -> dict[str, str]:
        """Braze tells the second of the clock at which the window begins anew."""
        return {} if retry_after is None else {"X-RateLimit-Reset": str(int(time.time()) + retry_after)}

    def _track(self, _request: Request, content: bytes) -> Response:
        body = self.document(content)
        attributes, events = body.get("attributes", []), body.get("events", [])
        if set(body) - {"attributes", "events", "purchases"} or not isinstance(attributes + events, list):
            raise Refusal(400, self.error(400, "unknown parameters"))
        if not 1 <= len(attributes) + len(events) <= 75:
            raise Refusal(400, self.error(400, "a request takes 1 to 75 objects in all"))
        errors = []
        for index, given in enumerate(attributes):
            if problem := _of_user(given) or _of_attributes(given):
                errors.append({"type": problem, "input_array": "attributes", "index": index})
            else:
                self._keep(given)
        for index, given in enumerate(events):
            if problem := _of_user(given) or _of_event(given):
                errors.append({"type": problem, "input_array": "events", "index": index})
            else:
                self.put("event", str(self.count("event") + 1), given)
        if len(errors) == len(attributes) + len(events):
            told = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
            raise Refusal(400, {**self.error(400, told), "errors": errors})
        answer: dict[str, Any] = {"message": "success"}
        if attributes:
            answer["attributes_processed"] = len(attributes) - sum(e["input_array"] == "attributes" for e in errors)
        if events:
            answer["events_processed"] = len(events) - sum(e["input_array"] == "events" for e in errors)
        if errors:
            answer["errors"] = errors
        return JSONResponse(answer, 201)

    def _keep(self, given: dict[str, Any]) -> None:
        held = self.get("user", given["external_id"])
        if held is None and given.get("_update_existing_only"):
            return
        merged = {**(held or {}), **given}
        merged.pop("_update_existing_only", None)
        self.put("user", given["external_id"], {name: value for name, value in merged.items() if value is not None})

    def _merge(self, _request: Request, content: bytes) -> Response:
        """Accepted as a whole and worked on later: what is not there is passed over."""
        updates = self.document(content).get("merge_updates")
        if not isinstance(updates, list) or not 1 <= len(updates) <= 50:
            raise Refusal(400, self.error(400, "merge_updates takes 1 to 50 merges"))
        for each in updates:
            ends = [each.get(f"identifier_to_{end}", {}).get("external_id") for end in ("merge", "keep")]
            if set(each) != {"identifier_to_merge", "identifier_to_keep"} or not all(isinstance(e, str) for e in ends):
                raise Refusal(400, self.error(400, "identifier_to_merge and identifier_to_keep must be identifiers"))
            gone, kept = self.get("user", ends[0]), self.get("user", ends[1])
            if gone is not None and kept is not None:
                self.drop("user", ends[0])
                self.put("user", ends[1], {**gone, **kept})
        return JSONResponse({"message": "success"}, 202)

    def _delete(self, _request: Request, content: bytes) -> Response:
        ids = self.document(content).get("external_ids")
        if not isinstance(ids, list) or not 1 <= len(ids) <= 50:
            raise Refusal(400, self.error(400, "external_ids takes 1 to 50 ids"))
        return JSONResponse({"deleted": sum(self.drop("user", str(each)) for each in ids), "message": "success"}, 201)


def _of_user(given: dict[str, Any]) -> str:
    external_id = given.get("external_id")
    return "" if isinstance(external_id, str) and external_id else "'external_id' is required"


def _of_attributes(given: dict[str, Any]) -> str:
    country = given.get("country")
    if country is not None and (not isinstance(country, str) or len(country) != 2):
        return "country is invalid"
    return "" if given.get("email_subscribe") in _SUBSCRIPTIONS else "email_subscribe is invalid"


def _of_event(given: dict[str, Any]) -> str:
    if not given.get("name"):
        return "'name' is required"
    try:
        datetime.fromisoformat(str(given.get("time")))
    except ValueError:
        return "'time' is invalid"
    return "" if isinstance(given.get("properties", {}), dict) else "'properties' is invalid"
