"""Google's Data Manager as far as a sync sees it: tokens that expire, audience members by digests, refusals as a whole.

Contract: developers.google.com/data-manager, "audienceMembers.ingest" and "audienceMembers.remove".
"""

from __future__ import annotations

import hashlib
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

CLIENT = {"client_id": "demo-client", "client_secret": "demo-client-secret", "refresh_token": "demo-refresh"}
ACCOUNT, AUDIENCE = "1234567890", "777"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_EMPTY = hashlib.sha256(b"").hexdigest()
_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    settings = {"base_url": base_url, "token_url": f"{base_url}/token", **CLIENT}
    return {f"CDP_GOOGLE_DATA_MANAGER__{name.upper()}": value for name, value in settings.items()}


def create_app(world_dir: Path, state_dir: Path, faults: Fates) -> Starlette:
    """The emulator. `world_dir` is not read: Google holds only what it was sent."""
    return DataManager(state_dir, faults).app()


class DataManager(Vendor):
    """One account with one audience."""

    name = "google_data_manager"

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """The calls of a sync."""
        members = "/v1/audienceMembers"
        return [
            ("POST", "/token", self._token),
            ("POST", f"{members}:ingest", self._ingest),
            ("POST", f"{members}:remove", self._remove),
        ]

    def authorise(self, request: Request) -> None:
        """A token that was given out and has not expired."""
        if request.url.path.endswith("/token") or self.bearer(request):
            return
        raise Refusal(401, self.error(401, "Request had invalid authentication credentials."))

    def error(self, status: int, message: str) -> Any:
        """Google's shape."""
        return {"error": {"code": status, "message": message, "status": _STATUS.get(status, "UNAVAILABLE")}}

    def _token(self, _request: Request, content: bytes) -> Response:
        given = {name: values[0] for name, values in parse_qs(content.decode()).items()}
        if given != {"grant_type": "refresh_token", **CLIENT}:
            raise Refusal(400, {"error": "invalid_grant", "error_description": "Bad Request"})
        return JSONResponse({"access_token": self.issue("ya29.", 3599), "expires_in": 3599, "token_type": "Bearer"})

    def _ingest(self, _request: Request, content: bytes) -> Response:
        body = self.document(content)
        consent = body.get("consent", {})
        if not {consent.get("adUserData"), consent.get("adPersonalization")} <= {"CONSENT_GRANTED", "CONSENT_DENIED"}:
            raise self._wrong("consent")
        if body.get("termsOfService", {}).get("customerMatchTermsOfServiceStatus") != "ACCEPTED":
            raise self._wrong("terms_of_service")
        for member in self._members(body, {"consent", "termsOfService", "validateOnly"}):
            self.put("member", member, {})
        return self._done()

    def _remove(self, _request: Request, content: bytes) -> Response:
        for member in self._members(self.document(content), {"validateOnly"}):
            self.drop("member", member)
        return self._done()

    def _done(self) -> Response:
        number = self._db.execute("select count(*) from call").fetchone()[0]
        return JSONResponse({"requestId": f"request-{number}"})

    def _members(self, body: dict[str, Any], more: set[str]) -> list[str]:
        if set(body) - {"destinations", "audienceMembers", "encoding", *more} or body.get("encoding") != "HEX":
            raise self._wrong("encoding, or an unknown field")
        for each in body.get("destinations") or [{}]:
            if each.get("operatingAccount") != {"accountType": "GOOGLE_ADS", "accountId": ACCOUNT}:
                raise self._wrong("destinations.operating_account")
            if each.get("productDestinationId") != AUDIENCE:
                raise Refusal(404, self.error(404, "The audience does not exist."))
        members = body.get("audienceMembers", [])
        if not 1 <= len(members) <= 10_000:
            raise self._wrong("audience_members: 1 to 10000")
        for position, member in enumerate(members):
            identifiers = member["userData"]["userIdentifiers"]
            if not 1 <= len(identifiers) <= 10 or not all(map(_fits, identifiers)):
                raise self._wrong(f"audience_members[{position}].user_data.user_identifiers")
        return [json.dumps(member["userData"], sort_keys=True) for member in members]

    def _wrong(self, where: str) -> Refusal:
        return Refusal(400, self.error(400, f"There was a problem with the request: {where}"))


def _fits(identifier: dict[str, Any]) -> bool:
    """One kind of identifier, in lower-case digests, none of them of the empty text."""
    if len(identifier) != 1:
        return False
    kind, value = next(iter(identifier.items()))
    if kind == "addressInfo":
        digests = [value.get("givenName"), value.get("familyName")]
        if not re.fullmatch(r"[A-Z]{2}", value.get("regionCode", "")) or not value.get("postalCode"):
            return False
    elif kind in ("emailAddress", "phoneNumber"):
        digests = [value]
    else:
        return False
    return all(isinstance(each, str) and _DIGEST.fullmatch(each) and each != _EMPTY for each in digests)
