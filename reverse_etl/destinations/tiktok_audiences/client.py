"""TikTok's Business API: members of a segment by digests, mapped and unmapped at /segment/mapping/.

Contract: business-api.tiktok.com, "Streaming API" (/segment/audience/, /segment/mapping/), "Return codes". Each answer has the
status 200; its `code` tells. A call is taken or refused as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reverse_etl.destination import Batch, Outcome, Result
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import Rest, document
from reverse_etl.http import Http, judge_status
from reverse_etl.pace import Pace, TryAgain
from reverse_etl.response import Response

if TYPE_CHECKING:
    from reverse_etl.catalog import MappedField

_SCHEMA = {"email": "EMAIL_SHA256", "phone": "PHONE_SHA256", "idfa": "IDFA_SHA256", "gaid": "GAID_SHA256"}
# "Return codes": of calls a second, a minute, a day; failures on TikTok's side.
_RATE, _PASSING = {"40100", "40132", "40133"}, {"50000", "50002"}
# No permission for the ad account; token expired, empty, wrong or revoked.
_CREDENTIALS = {"40001", "40102", "40104", "40105"}
_EXPECTED = "a long-lived token of an app with the scope Audience Management, given by every ad account"


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> TikTokAudiences:
    """A client for `CDP_TIKTOK_AUDIENCES__BASE_URL` with the token `CDP_TIKTOK_AUDIENCES__ACCESS_TOKEN`."""
    http = Http(spec, connection["base_url"], pace, {"Access-Token": connection["access_token"]})
    rest = Rest(
        http,
        spec.name,
        _error,
        credentials=_EXPECTED,
        judge=_judge,
        is_good=lambda response: response.status_code < 300 and _code(response) == "0",
        refuses=lambda status, code: status in (401, 403) or code in _CREDENTIALS,
    )
    accounts = [each.strip() for each in connection["advertiser_ids"].split(",") if each.strip()]
    return TikTokAudiences(rest, accounts)


class TikTokAudiences:
    """See `reverse_etl.destination.Client`."""

    def __init__(self, rest: Rest, accounts: Sequence[str]) -> None:
        self._rest, self._accounts = rest, list(accounts)

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Segments are made by /segment/audience/, and no call describes them."""

    def write(self, batch: Batch) -> Result:
        """Put members in."""
        return self._map("add", batch)

    def delete(self, batch: Batch) -> Result:
        """Take members out."""
        return self._map("delete", batch)

    def close(self) -> None:
        """Give connections back."""
        self._rest.close()

    def _map(self, action: str, batch: Batch) -> Result:
        known = [row for row in batch.rows if any(row.payload.get(name) for name in _SCHEMA)]
        sent = {row.key for row in known}
        nobody = Outcome("rejected", "the row has nothing that TikTok can match by", "no_identifier")
        outcomes = {row.key: nobody for row in batch.rows if row.key not in sent}
        if not known:
            return Result(outcomes)
        names = [name for name in _SCHEMA if any(row.payload.get(name) for row in known)]
        audiences = [batch.options["audience_id"]]
        # One place for each kind of identifier; {} where a user has none.
        users = [
            [{"id": row.payload[name], "audience_ids": audiences} if row.payload.get(name) else {} for name in names]
            for row in known
        ]
        body = {
            "advertiser_ids": self._accounts,
            "action": action,
            "id_schema": [_SCHEMA[name] for name in names],
            "batch_data": users,
        }
        answer = self._rest.call("POST", "/open_api/v1.3/segment/mapping/", body).json()
        return Result(outcomes, Outcome("succeeded", request_id=str(answer.get("request_id", ""))))


def _code(response: Response) -> str:
    """Of the body; empty when the answer is none of TikTok's."""
    return str(document(response).get("code", ""))


def _judge(response: Response) -> None:
    judge_status(response)
    code = _code(response)
    if code in _RATE:
        raise TryAgain(f"code {code}", code="rate_limit")
    if code in _PASSING:
        raise TryAgain(f"code {code}", effect_unknown=True)
    if not code and response.status_code < 300:
        raise ValueError("the answer has no code")


def _error(body: Mapping[str, Any]) -> tuple[str, str]:
    return str(body.get("code", "")), str(body.get("message", ""))
