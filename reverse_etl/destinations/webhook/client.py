"""Signed JSON to any HTTP endpoint, after the Standard Webhooks specification (webhook-id, -timestamp, -signature).

The body is put together from the rows' JSON as the plan made it: nothing is parsed and written again.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from cdp.errors import ConfigurationError
from reverse_etl.destination import Batch, BatchRejectedError, Outcome, Result, Status
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.http import Http
from reverse_etl.pace import Pace
from reverse_etl.response import Response

if TYPE_CHECKING:
    from reverse_etl.catalog import MappedField

_STATUSES: dict[str, Status] = {"succeeded": "succeeded", "rejected": "rejected", "failed": "failed"}


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> Webhook:
    """A client for `CDP_WEBHOOK__BASE_URL`, signing with `CDP_WEBHOOK__SECRET`."""
    try:
        secret = base64.b64decode(connection["secret"].removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ConfigurationError(
            "CDP_WEBHOOK__SECRET cannot be read", where="webhook", expected="base64 after the prefix whsec_"
        ) from None
    return Webhook(Http(spec, connection["base_url"], pace, {"content-type": "application/json"}), secret)


class Webhook:
    """See `reverse_etl.destination.Client`. Thread-safe."""

    def __init__(self, http: Http, secret: bytes) -> None:
        self._http, self._secret = http, secret

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """See that the body's template gives JSON."""
        try:
            json.loads(_filled(options["body"], "a", "b", "c", "[]"))
        except ValueError:
            raise ConfigurationError(
                "the option body gives no JSON", where="webhook", expected="JSON with {rows} where a list may stand"
            ) from None

    def write(self, batch: Batch) -> Result:
        """Rows to keep."""
        return self._send(batch, "append" if batch.mode == "append" else "write")

    def delete(self, batch: Batch) -> Result:
        """Rows to remove."""
        return self._send(batch, "delete")

    def merge(self, batch: Batch) -> Result:
        """Rows to merge into others: `into` has the fields of the row that stays."""
        return self._send(batch, "merge")

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def _send(self, batch: Batch, operation: str) -> Result:
        keys = map(encode_basestring_ascii, batch.keys)
        if operation == "merge":
            rows = ",".join(
                f'{{"key":{key},"fields":{row.payload_json},"into":{row.into_json}}}'
                for key, row in zip(keys, batch.rows, strict=True)
            )
        else:
            pairs = zip(keys, batch.texts, strict=True)
            rows = ",".join([f'{{"key":{key},"fields":{text}}}' for key, text in pairs])
        body = _filled(batch.options["body"], batch.sync, batch.mode, operation, f"[{rows}]").encode()
        # The time only tells the endpoint that the call is fresh; nothing that is stored depends on it.
        moment = str(int(time.time()))
        signed = f"{batch.idempotency_key}.{moment}.".encode() + body
        signature = base64.b64encode(hmac.digest(self._secret, signed, "sha256")).decode()
        headers = {
            "webhook-id": batch.idempotency_key,
            "webhook-timestamp": moment,
            "webhook-signature": f"v1,{signature}",
        }
        response = self._http.request("POST", batch.options["path"], content=body, headers=headers)
        if response.status_code in (401, 403):
            raise ConfigurationError(
                f"the endpoint refuses the signature (status {response.status_code})",
                where="webhook",
                expected="the secret that the endpoint checks with",
                fix="correct CDP_WEBHOOK__SECRET and run again",
            )
        if response.status_code >= 300:
            raise BatchRejectedError(f"status {response.status_code}", "invalid")
        return _result(response)


def _filled(template: str, sync: str, mode: str, operation: str, rows: str) -> str:
    text = template.replace("{sync}", sync).replace("{mode}", mode).replace("{operation}", operation)
    return text.replace("{rows}", rows)


def _result(response: Response) -> Result:
    """2xx accepts all rows but those that the answer names: `{"results": [{"key", "status", "code", "message"}]}`."""
    request_id = response.headers.get("x-request-id", "")
    told: Any = response.json() if response.content else {}
    rows = {
        str(each["key"]): Outcome(
            _STATUSES[each["status"]], str(each.get("message", "")), str(each.get("code", "")), request_id
        )
        for each in told.get("results", [])
    }
    return Result(rows, Outcome("succeeded", request_id=request_id))
