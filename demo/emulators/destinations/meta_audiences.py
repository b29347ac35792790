"""Meta's Marketing API as far as a sync sees it: one audience whose members come and go by digests, counts of invalid entries.

Contract: developers.facebook.com/docs/marketing-api, "Custom Audience Users"; Graph API, "Handling errors", "Rate limits".
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.destinations import Fates
from demo.emulators.destinations._vendor import Handler, Refusal, Vendor

TOKEN, APP_SECRET = "demo-meta-token", "demo-meta-secret"
AUDIENCE, LOOKALIKE = "23848494844100489", "23848494844100490"
_HASHED = {"EMAIL", "PHONE", "GEN", "DOBY", "DOBM", "DOBD", "LN", "FN", "FI", "CT", "ST", "ZIP", "COUNTRY"}
_PLAIN = {"EXTERN_ID", "MADID"}
_DIGEST, _EMPTY = re.compile(r"[0-9a-f]{64}"), hashlib.sha256(b"").hexdigest()
_CODES = {401: 190, 403: 200, 404: 100, 429: 80003, 413: 1, 503: 2}


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    settings = {"base_url": base_url, "access_token": TOKEN, "app_secret": APP_SECRET}
    return {f"CDP_META_AUDIENCES__{name.upper()}": value for name, value in settings.items()}


def create_app(world_dir: Path, state_dir: Path, faults: Fates) -> Starlette:
    """The emulator. `world_dir` is not read: Meta holds only what it was sent."""
    return MetaAudiences(state_dir, faults).app()


class MetaAudiences(Vendor):
    """One ad account with a customer file audience and one of another kind; its app requires the proof of its secret."""

    name = "meta_audiences"

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """The calls of a sync."""
        root = "/v26.0/{id}"
        return [
            ("GET", root, self._audience),
            ("POST", f"{root}/users", self._users),
            ("DELETE", f"{root}/users", self._users),
        ]

    def authorise(self, request: Request) -> None:
        """A token that stands. The proof is looked at where the parameters are."""
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise self._refused(401, "Error validating access token: Session has expired")

    def error(self, status: int, message: str) -> Any:
        """The Graph API's shape."""
        error = {"message": message, "type": "OAuthException", "code": _CODES.get(status, 100), "fbtrace_id": "A1"}
        return {"error": error | ({"is_transient": True} if status == 503 else {})}

    def fault_headers(self, retry_after: int | None) -> dict[str, str]:
        """Minutes until the ad account may call again."""
        if retry_after is None:
            return {}
        usage = {"type": "custom_audience", "estimated_time_to_regain_access": retry_after}
        return {"X-Business-Use-Case-Usage": json.dumps({"1": [usage]})}

    def _refused(self, status: int, message: str) -> Refusal:
        """Meta answers 400 to most of what is wrong; the code tells."""
        return Refusal(400, self.error(status, message))

    def _proven(self, given: str | None) -> None:
        if given != hmac.new(APP_SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest():
            raise self._refused(404, "API calls from the server require an appsecret_proof argument")

    def _audience(self, request: Request, _content: bytes) -> Response:
        self._proven(request.query_params.get("appsecret_proof"))
        number = self._known(request)
        return JSONResponse({"id": number, "subtype": "CUSTOM" if number == AUDIENCE else "LOOKALIKE"})

    def _known(self, request: Request) -> str:
        number = str(request.path_params["id"])
        if number not in (AUDIENCE, LOOKALIKE):
            raise self._refused(404, f"Unsupported request. Object with ID '{number}' does not exist")
        return number

    def _users(self, request: Request, content: bytes) -> Response:
        given = {name: values[0] for name, values in parse_qs(content.decode(), strict_parsing=True).items()}
        self._proven(given.pop("appsecret_proof", None))
        if self._known(request) != AUDIENCE or set(given) != {"payload", "session"}:
            raise self._refused(404, "Invalid parameter")
        payload, session = json.loads(given["payload"]), json.loads(given["session"])
        schema, data = payload["schema"], payload["data"]
        if set(payload) != {"schema", "is_raw", "data"} or not schema or set(schema) - _HASHED - _PLAIN:
            raise self._refused(404, "Invalid parameter: schema")
        if not 1 <= len(data) <= 10_000 or any(len(row) != len(schema) for row in data):
            raise self._refused(404, "Invalid parameter: data takes 1 to 10000 rows as wide as the schema")
        keys = {"session_id", "batch_seq", "last_batch_flag", "estimated_num_total"}
        if set(session) != keys or not 0 < session["session_id"] < 2**63 or session["batch_seq"] < 1:
            raise self._refused(404, "Invalid parameter: session")
        members = [{name: value for name, value in zip(schema, row, strict=True) if value != ""} for row in data]
        valid = [member for member in members if member and all(_fits(*each) for each in member.items())]
        for member in valid:
            if request.method == "POST":
                self.put("member", json.dumps(member, sort_keys=True), member)
            else:
                self._remove(member)
        answer = {"audience_id": AUDIENCE, "session_id": str(session["session_id"]), "num_received": len(data)}
        return JSONResponse({**answer, "num_invalid_entries": len(data) - len(valid), "invalid_entry_samples": {}})

    def _remove(self, gone: dict[str, str]) -> None:
        """Whoever is known by one of the identifiers, by the advertiser's own id before all."""
        exact = [name for name in ("EXTERN_ID",) if name in gone] or ["EMAIL", "PHONE", "MADID"]
        held = self._db.execute("select id, value from held where kind = 'member'").fetchall()
        for key, value in held:
            member = json.loads(value)
            if any(name in gone and member.get(name) == gone[name] for name in exact) or member == gone:
                self.drop("member", key)


def _fits(name: str, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return name in _PLAIN or (_DIGEST.fullmatch(value) is not None and value != _EMPTY)
