"""Meta's Marketing API: members of a custom audience by digests, put in and taken out at /{audience}/users.

Contract: developers.facebook.com, "Custom Audience Users" and "Customer file custom audiences"; "Handling errors" and "Rate
limits" of the Graph API. An answer tells how many entries are invalid, not which.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from reverse_etl.destination import Batch, BatchRejectedError, Outcome, Result
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import Rest, document
from reverse_etl.http import Http, judge_status
from reverse_etl.pace import Pace, TryAgain
from reverse_etl.response import Response

if TYPE_CHECKING:
    from reverse_etl.catalog import MappedField

_SCHEMA = {
    "email": "EMAIL",
    "phone": "PHONE",
    "first_name": "FN",
    "last_name": "LN",
    "first_initial": "FI",
    "gender": "GEN",
    "birth_year": "DOBY",
    "birth_month": "DOBM",
    "birth_day": "DOBD",
    "city": "CT",
    "state": "ST",
    "postal_code": "ZIP",
    "country": "COUNTRY",
    "external_id": "EXTERN_ID",
    "mobile_advertiser_id": "MADID",
}
# "Rate limits": of the app, the user, the page, the ad account, custom audiences.
_RATE = {"4", "17", "32", "613", "80000", "80003", "80004", "80014"}
_EXPECTED = (
    "a token of a system user with ads_management, a role in the ad account, and accepted terms of custom audiences"
)


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> MetaAudiences:
    """A client for `CDP_META_AUDIENCES__BASE_URL` with the token `CDP_META_AUDIENCES__ACCESS_TOKEN`."""
    token, secret = connection["access_token"], connection["app_secret"]
    http = Http(spec, connection["base_url"], pace, {"Authorization": f"Bearer {token}"})
    rest = Rest(http, spec.name, _error, credentials=_EXPECTED, judge=_judge, refuses=_refuses)
    proof = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest() if secret else ""
    return MetaAudiences(rest, f"/{connection['api_version']}", {"appsecret_proof": proof} if proof else {})


class MetaAudiences:
    """See `reverse_etl.destination.Client`."""

    def __init__(self, rest: Rest, root: str, proof: Mapping[str, str]) -> None:
        self._rest, self._root, self._proof = rest, root, proof

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """The audience is there and takes customer files; else each row would be refused one by one."""
        asked = {"fields": "id,subtype", **self._proof}
        found = self._rest.call("GET", f"{self._root}/{options['audience_id']}", params=asked).json()
        if found["subtype"] != "CUSTOM":
            raise BatchRejectedError(f"the audience is of the kind {found['subtype']}, not CUSTOM")

    def write(self, batch: Batch) -> Result:
        """Put members in."""
        return self._send("POST", batch)

    def delete(self, batch: Batch) -> Result:
        """Take members out."""
        return self._send("DELETE", batch)

    def close(self) -> None:
        """Give connections back."""
        self._rest.close()

    def _send(self, method: str, batch: Batch) -> Result:
        known = [row for row in batch.rows if any(row.payload.get(name) for name in _SCHEMA)]
        sent = {row.key for row in known}
        empty = Outcome("rejected", "the row has nothing that Meta can match by", "no_identifier")
        outcomes = {row.key: empty for row in batch.rows if row.key not in sent}
        if not known:
            return Result(outcomes)
        names = [name for name in _SCHEMA if any(row.payload.get(name) for row in known)]
        data = [[row.payload.get(name) or "" for name in names] for row in known]
        session = {
            # 63 bits of the batch's own key: the same batch is the same session.
            "session_id": int(hashlib.sha256(batch.idempotency_key.encode()).hexdigest()[:16], 16) >> 1,
            "batch_seq": 1,
            "last_batch_flag": True,
            "estimated_num_total": len(known),
        }
        # Meta's own SDK says is_raw of lists of several identifiers, whose values it has hashed before.
        payload = {"schema": [_SCHEMA[name] for name in names], "is_raw": True, "data": data}
        form = {"payload": json.dumps(payload, separators=(",", ":")), "session": json.dumps(session), **self._proof}
        answer = self._rest.call(
            method,
            f"{self._root}/{batch.options['audience_id']}/users",
            content=urlencode(form).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        ).json()
        received, invalid = int(answer["num_received"]), int(answer["num_invalid_entries"])
        if received != len(known):
            raise ValueError("Meta counts other rows than were sent")
        if invalid:
            # Which ones is not told. The valid ones stand, and putting them in again in halves changes nothing.
            raise BatchRejectedError(f"{invalid} of {received} entries are invalid", "invalid_entry")
        return Result(outcomes, Outcome("succeeded", request_id=str(answer.get("session_id", ""))))


def _refuses(status: int, code: str) -> bool:
    """Of tokens (190, 102), of permissions (10, 200 to 299)."""
    return code in ("10", "102", "190") or (code.isdigit() and 200 <= int(code) <= 299) or status == 401


def _judge(response: Response) -> None:
    """Limits and passing failures come as codes; Meta tells in minutes when the ad account may call again."""
    error = document(response).get("error") or {}
    code = str(error.get("code", "")) if response.status_code >= 300 else ""
    if code in _RATE:
        raise TryAgain(f"code {code}", _seconds(response), code="rate_limit")
    if code in ("1", "2") or (code and error.get("is_transient")):
        raise TryAgain(f"code {code}", effect_unknown=True)
    judge_status(response)


def _seconds(response: Response) -> float | None:
    """Of the longest wait in X-Business-Use-Case-Usage, where there is one."""
    try:
        usage = json.loads(response.headers.get("X-Business-Use-Case-Usage", "{}"))
        minutes = [each.get("estimated_time_to_regain_access", 0) for part in usage.values() for each in part]
    except (ValueError, AttributeError):
        return None
    return 60.0 * max(minutes) if any(minutes) else None


def _error(body: Mapping[str, Any]) -> tuple[str, str]:
    error = body.get("error") or {}
    return str(error.get("code", "")), str(error.get("message", ""))
