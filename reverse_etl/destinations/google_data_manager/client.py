"""Google's Data Manager API: members of an audience by digests, put in by `:ingest` and taken out by `:remove`.

Contract: developers.google.com/data-manager, "audienceMembers.ingest", "audienceMembers.remove"; OAuth 2.0 refresh tokens
(RFC 6749, section 6). A call is taken or refused as a whole; matching happens later and is told by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reverse_etl.destination import Batch, Outcome, Result, Row
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import Rest, oauth
from reverse_etl.http import Http
from reverse_etl.pace import Pace

if TYPE_CHECKING:
    from reverse_etl.catalog import MappedField

_ADDRESS = {
    "given_name": "givenName",
    "family_name": "familyName",
    "region_code": "regionCode",
    "postal_code": "postalCode",
}
_EXPECTED = "an OAuth client and a refresh token with the scope https://www.googleapis.com/auth/datamanager"


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> GoogleDataManager:
    """A client for `CDP_GOOGLE_DATA_MANAGER__BASE_URL`; access tokens come from the refresh token."""
    form = {"grant_type": "refresh_token"} | {
        name: connection[name] for name in ("client_id", "client_secret", "refresh_token")
    }
    token = oauth(spec.name, connection["token_url"], form, expected=_EXPECTED)
    http = Http(spec, connection["base_url"], pace, token=token)
    return GoogleDataManager(Rest(http, spec.name, _error, credentials=_EXPECTED))


class GoogleDataManager:
    """See `reverse_etl.destination.Client`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """The audience is made in Google Ads; a wrong one is refused by the first call."""

    def write(self, batch: Batch) -> Result:
        """Put members in."""
        consent = {
            "adUserData": batch.options["ad_user_data"],
            "adPersonalization": batch.options["ad_personalization"],
        }
        accepted = {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
        return self._send("ingest", batch, {"consent": consent, "termsOfService": accepted})

    def delete(self, batch: Batch) -> Result:
        """Take members out."""
        return self._send("remove", batch, {})

    def close(self) -> None:
        """Give connections back."""
        self._rest.close()

    def _send(self, verb: str, batch: Batch, more: Mapping[str, Any]) -> Result:
        members = {row.key: _identifiers(row) for row in batch.rows}
        nobody = Outcome("rejected", "the row has nothing that Google can match by", "no_identifier")
        outcomes = {key: nobody for key, identifiers in members.items() if not identifiers}
        known = [{"userData": {"userIdentifiers": identifiers}} for identifiers in members.values() if identifiers]
        if not known:
            return Result(outcomes)
        body = {"destinations": [_destination(batch.options)], "audienceMembers": known, "encoding": "HEX", **more}
        answer = self._rest.call("POST", f"/v1/audienceMembers:{verb}", body).json()
        return Result(outcomes, Outcome("succeeded", request_id=str(answer["requestId"])))


def _destination(options: Mapping[str, str]) -> dict[str, Any]:
    kind, login = "GOOGLE_ADS", options["login_account_id"]
    account = {
        "operatingAccount": {"accountType": kind, "accountId": options["account_id"]},
        "productDestinationId": options["audience_id"],
    }
    return account | ({} if login == "0" else {"loginAccount": {"accountType": kind, "accountId": login}})


def _identifiers(row: Row) -> list[dict[str, Any]]:
    """Digests one by one; of an address only what is whole, as Google matches by its four parts together."""
    given = row.payload
    found: list[dict[str, Any]] = [
        {name: given[field]}
        for field, name in (("email", "emailAddress"), ("phone", "phoneNumber"))
        if given.get(field)
    ]
    if all(given.get(part) for part in _ADDRESS):
        found.append({"addressInfo": {name: given[part] for part, name in _ADDRESS.items()}})
    return found


def _error(body: Mapping[str, Any]) -> tuple[str, str]:
    error = body.get("error", {})
    return str(error.get("status", "")), str(error.get("message", ""))
