"""Customer.io as far as a sync sees it: batches of Track API v2 with errors by place, manual segments.

Contract: docs.customer.io, Track API (v2 batch, v1 segments).
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.destinations import Fates
from demo.emulators.destinations._vendor import Handler, Refusal, Vendor

SITE, KEY, SEGMENT = "demo-site", "demo-customerio-key", "7"
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_ACTIONS = {"person": {"identify", "delete", "event", "merge"}, "object": {"identify", "delete"}}
_KNOWN = {
    "identify": {"type", "action", "identifiers", "attributes", "cio_relationships"},
    "delete": {"type", "action", "identifiers"},
    "event": {"type", "action", "identifiers", "attributes", "name", "id", "timestamp"},
    "merge": {"type", "action", "primary", "secondary"},
}
# (reason, field, message)
Problem = tuple[str, str, str]


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    return {
        "CDP_CUSTOMERIO__BASE_URL": base_url,
        "CDP_CUSTOMERIO__SITE_ID": SITE,
        "CDP_CUSTOMERIO__API_KEY": KEY,
    }


def create_app(world_dir: Path, state_dir: Path, faults: Fates) -> Starlette:
    """The emulator. `world_dir` is not read: Customer.io holds only what it was sent."""
    return CustomerIo(state_dir, faults).app()


class CustomerIo(Vendor):
    """One workspace with object type 1 and one manual segment."""

    name = "customerio"
    max_bytes = 500_000

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """The calls of a sync."""
        segment = "/api/v1/segments/{id}"
        return [
            ("POST", "/api/v2/batch", self._batch),
            ("POST", f"{segment}/add_customers", self._segment),
            ("POST", f"{segment}/remove_customers", self._segment),
        ]

    def authorise(self, request: Request) -> None:
        """Basic, with the site id and the key."""
        try:
            given = b64decode(request.headers.get("authorization", "").removeprefix("Basic ")).decode()
        except ValueError:
            given = ""
        if given != f"{SITE}:{KEY}":
            raise Refusal(401, {"meta": {"error": "Unauthorized request"}})

    def error(self, status: int, message: str) -> Any:
        """The shape of v2."""
        return {"errors": [{"reason": "invalid", "message": message}]}

    def _batch(self, _request: Request, content: bytes) -> Response:
        entries = self.document(content).get("batch")
        if not isinstance(entries, list) or not entries:
            raise Refusal(400, {"errors": [{"reason": "required", "field": "batch", "message": "batch is required"}]})
        errors = []
        for place, entry in enumerate(entries):
            if problem := _problem(entry):
                told = dict(zip(("reason", "field", "message"), problem, strict=True))
                errors.append({"batch_index": place, **told})
            else:
                self._apply(entry)
        return JSONResponse({"errors": errors}, 207 if errors else 200)

    def _apply(self, entry: Mapping[str, Any]) -> None:
        action, kind = entry["action"], entry["type"]
        if action == "merge":
            self._merge(str(entry["primary"]["id"]), str(entry["secondary"]["id"]))
            return
        names = entry["identifiers"]
        key = str(names["id"]) if kind == "person" else f"{names['object_type_id']}/{names['object_id']}"
        if action == "delete":
            self.drop(kind, key)
        elif action == "event":
            if self.get("event", entry["id"]) is None:
                self.put("event", entry["id"], {**entry, "identifiers": names})
                self.put("person", key, self.get("person", key) or {})
        else:
            held = {**(self.get(kind, key) or {}), **entry.get("attributes", {})}
            self.put(kind, key, {name: value for name, value in held.items() if value != ""})
            for each in entry.get("cio_relationships", []):
                self.put("relationship", f"{key}/{each['identifiers']['id']}", {})

    def _merge(self, primary: str, secondary: str) -> None:
        gone, stays = self.get("person", secondary), self.get("person", primary)
        if gone is None or stays is None:
            return  # worked on later at Customer.io, and passed over when one of the two is not there
        self.drop("person", secondary)
        self.put("person", primary, {**gone, **stays})

    def _segment(self, request: Request, content: bytes) -> Response:
        ids = self.document(content).get("ids")
        if request.path_params["id"] != SEGMENT:
            raise Refusal(404, {"meta": {"error": "segment not found"}})
        if not isinstance(ids, list) or not 1 <= len(ids) <= 1000 or request.query_params.get("id_type") != "id":
            raise Refusal(400, {"meta": {"error": "ids takes 1 to 1000 ids"}})
        for each in ids:
            if request.url.path.endswith("/remove_customers"):
                self.drop("in_segment", str(each))
            elif self.get("person", str(each)) is not None:
                self.put("in_segment", str(each), {})
        return JSONResponse({})


def _problem(entry: Any) -> Problem | None:
    """What Customer.io says to one entry of a batch."""
    if len(json.dumps(entry, ensure_ascii=False).encode()) > 32_000:
        return "too_large", "", "an entry has at most 32 KB"
    kind, action = entry.get("type"), entry.get("action")
    if action not in _ACTIONS.get(kind, set()):
        return "invalid", "action", "is not supported for the type"
    if set(entry) - _KNOWN[action]:
        return "invalid", sorted(set(entry) - _KNOWN[action])[0], "is not known"
    for part in ("primary", "secondary") if action == "merge" else ("identifiers",):
        if not _identified(kind, entry.get(part)):
            return "required", part, "must name one person or object"
    if action == "event" and (problem := _of_event(entry)):
        return problem
    for name, value in entry.get("attributes", {}).items():
        if len(name.encode()) > 150 or (isinstance(value, str) and len(value.encode()) > 1000):
            return "invalid", name, "names have at most 150 bytes, values 1000"
    email = entry.get("attributes", {}).get("email", "")
    return ("invalid", "email", "must be a valid address") if email and "@" not in str(email) else None


def _identified(kind: str, names: Any) -> bool:
    if not isinstance(names, dict):
        return False
    if kind == "object":
        return (
            set(names) == {"object_type_id", "object_id"}
            and names["object_type_id"] == "1"
            and bool(names["object_id"])
        )
    value = next(iter(names.values()), None)
    return set(names) == {"id"} and isinstance(value, str) and 0 < len(value.encode()) <= 150


def _of_event(entry: Mapping[str, Any]) -> Problem | None:
    if not entry.get("name") or len(str(entry["name"]).encode()) > 100:
        return "required", "name", "an event has a name of at most 100 bytes"
    if not isinstance(entry.get("id"), str) or not _ULID.fullmatch(entry["id"]):
        return "invalid", "id", "must be a ULID"
    return None if isinstance(entry.get("timestamp"), int) else ("invalid", "timestamp", "must be seconds since 1970")
