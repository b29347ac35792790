"""TikTok's Business API as far as a sync sees it: segments whose members come and go by digests; code 0 or not in a 200.

Contract: business-api.tiktok.com, "Streaming API", "Return codes".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.destinations import Fates
from demo.emulators.destinations._vendor import Handler, Refusal, Vendor

TOKEN, ADVERTISERS, AUDIENCE = "demo-tiktok-token", ("7178918106775994370", "7178918106775994371"), "167290896"
_KINDS = {"EMAIL_SHA256", "PHONE_SHA256", "IDFA_SHA256", "GAID_SHA256"}
_DIGEST, _EMPTY = re.compile(r"[0-9a-f]{64}"), hashlib.sha256(b"").hexdigest()
_CODES = {400: 40002, 401: 40105, 403: 40001, 429: 40100, 413: 40002}


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    settings = {"base_url": base_url, "access_token": TOKEN, "advertiser_ids": ",".join(ADVERTISERS)}
    return {f"CDP_TIKTOK_AUDIENCES__{name.upper()}": value for name, value in settings.items()}


def create_app(world_dir: Path, state_dir: Path, faults: Fates) -> Starlette:
    """The emulator. `world_dir` is not read: TikTok holds only what it was sent."""
    return TikTokAudiences(state_dir, faults).app()


class TikTokAudiences(Vendor):
    """Two ad accounts that share one segment. Identifiers are held one by one, as the API maps them."""

    name = "tiktok_audiences"

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """The call of a sync."""
        return [("POST", "/open_api/v1.3/segment/mapping/", self._map)]

    def authorise(self, request: Request) -> None:
        """A token that was not revoked."""
        if request.headers.get("access-token") != TOKEN:
            raise self._refused(401, "Access token is incorrect or has been revoked.")

    def error(self, status: int, message: str) -> Any:
        """TikTok's shape."""
        return {"code": _CODES.get(status, 50000), "message": message, "request_id": "20260101", "data": {}}

    def fault(self, status: int, message: str, retry_after: int | None) -> Refusal:
        """Failures of TikTok's own come in a 200, too; those of what stands before it do not."""
        return Refusal(status if status == 502 else 200, self.error(status, message))

    def _refused(self, status: int, message: str) -> Refusal:
        return Refusal(200, self.error(status, message))

    def _map(self, _request: Request, content: bytes) -> Response:
        body = self.document(content)
        if set(body) != {"advertiser_ids", "action", "id_schema", "batch_data"}:
            raise self._refused(400, "Missing or unknown fields.")
        if not body["advertiser_ids"] or set(body["advertiser_ids"]) - set(ADVERTISERS):
            raise self._refused(403, "No permission to operate advertiser.")
        kinds, users = body["id_schema"], body["batch_data"]
        if body["action"] not in ("add", "delete") or not kinds or set(kinds) - _KINDS:
            raise self._refused(400, "action, id_schema: Not a valid choice.")
        if not users or any(len(user) != len(kinds) or not any(user) for user in users):
            raise self._refused(400, "batch_data: as many identifiers as id_schema, one of them given.")
        for place, user in enumerate(users):
            for kind, identifier in zip(kinds, user, strict=True):
                if not identifier:
                    continue
                if set(identifier) != {"id", "audience_ids"} or not _is_digest(identifier["id"]):
                    raise self._refused(400, f"batch_data.{place}: Not a valid SHA256 digest.")
                if identifier["audience_ids"] != [AUDIENCE]:
                    raise self._refused(400, f"batch_data.{place}.audience_ids: The audience does not exist.")
                if body["action"] == "add":
                    self.put("member", f"{kind}/{identifier['id']}", {})
                else:
                    self.drop("member", f"{kind}/{identifier['id']}")
        number = self._db.execute("select count(*) from call").fetchone()[0]
        return JSONResponse({"code": 0, "message": "OK", "request_id": f"2026010100{number}", "data": {}})


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None and value != _EMPTY
