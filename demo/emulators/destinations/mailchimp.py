"""Mailchimp as far as a sync sees it: one list with merge fields, members with errors by address, one static segment.

Contract: mailchimp.com/developer/marketing/api, lists, members, segments, merge fields, errors.
"""

from __future__ import annotations

import hashlib
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

KEY, LIST, SEGMENT = "demo-mailchimp-key-us20", "1232yyqw22", "4711"
MERGE_FIELDS = {"FNAME": "text", "LNAME": "text", "SCORE": "number", "BIRTHDAY": "birthday"}
_STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional")
_EMAIL, _BIRTHDAY = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+"), re.compile(r"\d\d/\d\d")
_TITLES = {400: "Invalid Resource", 401: "API Key Invalid", 404: "Resource Not Found", 429: "Too Many Requests"}
_KNOWN = {"email_address", "status", "language", "email_type", "tags", "merge_fields", "vip", "location", "interests"}


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    return {"CDP_MAILCHIMP__BASE_URL": base_url, "CDP_MAILCHIMP__API_KEY": KEY}


def create_app(world_dir: Path, state_dir: Path, faults: Fates) -> Starlette:
    """The emulator. `world_dir` is not read: Mailchimp holds only what it was sent."""
    return Mailchimp(state_dir, faults).app()


class Mailchimp(Vendor):
    """One account. `member` by the hash of the address; `compliance` holds addresses that unsubscribed by themselves."""

    name = "mailchimp"

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """The calls of a sync."""
        return [
            ("GET", "/3.0/lists/{list}/merge-fields", self._merge_fields),
            ("POST", "/3.0/lists/{list}", self._batch),
            ("POST", "/3.0/lists/{list}/segments/{segment}", self._segment),
            ("DELETE", "/3.0/lists/{list}/members/{hash}", self._archive),
        ]

    def authorise(self, request: Request) -> None:
        """Basic, with any name and the key."""
        try:
            given = b64decode(request.headers.get("authorization", "").removeprefix("Basic ")).decode()
        except ValueError:
            given = ""
        if given.partition(":")[2] != KEY:
            raise Refusal(
                401, self.error(401, "Your API key may be invalid, or you've attempted to access the wrong datacenter.")
            )

    def error(self, status: int, message: str) -> Any:
        """A problem document (RFC 7807)."""
        title = _TITLES.get(status, "Internal Server Error")
        return {
            "type": "https://mailchimp.com/developer/",
            "title": title,
            "status": status,
            "detail": message,
            "instance": "1",
        }

    def _list(self, request: Request) -> None:
        if request.path_params["list"] != LIST:
            raise Refusal(404, self.error(404, "The requested resource could not be found."))

    def _merge_fields(self, request: Request, _content: bytes) -> Response:
        self._list(request)
        fields = [{"tag": tag, "type": kind} for tag, kind in MERGE_FIELDS.items()]
        return JSONResponse({"merge_fields": fields[: int(request.query_params.get("count", 10))], "list_id": LIST})

    def _batch(self, request: Request, content: bytes) -> Response:
        self._list(request)
        body = self.document(content)
        members = body.get("members")
        if set(body) - {"members", "update_existing", "sync_tags"} or not isinstance(members, list):
            raise Refusal(400, self.error(400, "Schema describes array members"))
        if not 1 <= len(members) <= 500:
            raise Refusal(400, self.error(400, "members: 1 to 500 in a call"))
        for place, given in enumerate(members):
            if (
                set(given) - _KNOWN
                or given.get("status") not in _STATUSES
                or not isinstance(given.get("tags", []), list)
            ):
                told = {
                    "field": f"members.item:{place}",
                    "message": "Schema describes object, unknown or missing field",
                }
                raise Refusal(
                    400, {**self.error(400, "The resource submitted could not be validated."), "errors": [told]}
                )
        answer: dict[str, list[Any]] = {"new_members": [], "updated_members": [], "errors": []}
        seen: set[str] = set()
        for given in members:
            address = str(given.get("email_address", "")).lower()
            problem = self._problem(address, given, seen, updates=bool(body.get("update_existing")))
            seen.add(address)
            if problem:
                answer["errors"].append({"email_address": given.get("email_address", ""), **problem})
                continue
            held = self.get("member", _hash(address))
            after = self._after(held or {"merge_fields": {}, "tags": []}, given, sync_tags=bool(body.get("sync_tags")))
            self.put("member", _hash(address), after)
            answer["new_members" if held is None else "updated_members"].append(
                {"email_address": address, "status": after["status"]}
            )
        counts = {"total_created": len(answer["new_members"]), "total_updated": len(answer["updated_members"])}
        return JSONResponse({**answer, **counts, "error_count": len(answer["errors"])})

    def _problem(self, address: str, given: Mapping[str, Any], seen: set[str], *, updates: bool) -> dict[str, str]:
        nothing = {"field": "", "field_message": ""}
        if not _EMAIL.fullmatch(address) or address.endswith("@example.invalid"):
            return {"error": "Please provide a valid email address.", "error_code": "ERROR_GENERIC", **nothing}
        if address in seen:
            return {"error": "The address stands twice in the call.", "error_code": "ERROR_GENERIC", **nothing}
        if given["status"] in ("subscribed", "pending") and self.get("compliance", address) is not None:
            told = f"{address} is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed."
            return {"error": told, "error_code": "ERROR_GENERIC", **nothing}
        if not updates and self.get("member", _hash(address)) is not None:
            return {"error": f"{address} is already a list member.", "error_code": "ERROR_CONTACT_EXISTS", **nothing}
        for tag, value in given.get("merge_fields", {}).items():
            wrong = value != "" and (
                (MERGE_FIELDS.get(tag) == "number" and not _is_number(value))
                or (MERGE_FIELDS.get(tag) == "birthday" and not _BIRTHDAY.fullmatch(str(value)))
            )
            if wrong:
                named = {"field": tag, "field_message": f"Please enter a {MERGE_FIELDS[tag]}"}
                return {"error": "Your merge fields were invalid.", "error_code": "ERROR_GENERIC", **named}
        return {}

    def _after(self, held: Mapping[str, Any], given: Mapping[str, Any], *, sync_tags: bool) -> dict[str, Any]:
        """Unknown merge tags are dropped; an empty text empties a field."""
        merged = held["merge_fields"] | {
            tag: v for tag, v in given.get("merge_fields", {}).items() if tag in MERGE_FIELDS
        }
        tags = given.get("tags", held["tags"])
        tags = tags if sync_tags else [*held["tags"], *(tag for tag in tags if tag not in held["tags"])]
        fields = {tag: value for tag, value in merged.items() if value != ""}
        return {**held, **given, "merge_fields": fields, "tags": sorted(tags), "archived": False}

    def _archive(self, request: Request, _content: bytes) -> Response:
        self._list(request)
        held = self.get("member", request.path_params["hash"])
        if held is None:
            raise Refusal(404, self.error(404, "The requested resource could not be found."))
        if held["archived"]:
            raise Refusal(
                405, {**self.error(405, "This list member cannot be removed."), "title": "Method Not Allowed"}
            )
        self.put("member", request.path_params["hash"], {**held, "archived": True})
        return Response(status_code=204)

    def _segment(self, request: Request, content: bytes) -> Response:
        self._list(request)
        if request.path_params["segment"] != SEGMENT:
            raise Refusal(404, self.error(404, "The requested resource could not be found."))
        body = self.document(content)
        adds, removes = body.get("members_to_add", []), body.get("members_to_remove", [])
        if (
            set(body) - {"members_to_add", "members_to_remove"}
            or max(len(adds), len(removes)) > 500
            or not adds + removes
        ):
            raise Refusal(400, self.error(400, "members_to_add, members_to_remove: at most 500 each"))
        members = {address: self.get("member", _hash(address.lower())) for address in adds}
        unknown = [address for address, held in members.items() if held is None or held["archived"]]
        added = [each for each in adds if each not in unknown and self.get("in_segment", each.lower()) is None]
        for address in added:
            self.put("in_segment", address.lower(), {})
        removed = [address for address in removes if self.drop("in_segment", address.lower())]
        told = "Email addresses are not list members"
        errors = [{"email_addresses": unknown, "error": told}] if unknown else []
        shown = {
            "members_added": [{"email_address": e} for e in added],
            "members_removed": [{"email_address": e} for e in removed],
        }
        counts = {"total_added": len(added), "total_removed": len(removed), "error_count": len(unknown)}
        return JSONResponse({**shown, "errors": errors, **counts})


def _hash(address: str) -> str:
    return hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
