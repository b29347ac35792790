"""Slack: chat.postMessage by a bot, or an incoming webhook. One row is one message, and is never sent twice unknowingly.

Contract: docs.slack.dev, "chat.postMessage", "conversations.history", "Sending messages using incoming webhooks",
"Message metadata" and "Rate limits". The Web API answers 200 with `ok: false`; webhooks answer a word as plain text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from cdp.errors import ConfigurationError
from reverse_etl.catalog import MappedField
from reverse_etl.destination import Batch, BatchRejectedError, Outcome, Result, Row
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import refused
from reverse_etl.http import Http, judge_status
from reverse_etl.pace import Pace, TryAgain
from reverse_etl.response import Response

_MARK = "tributary_row"
# Messages of a page of history, and pages that are searched for a mark: 2,000 messages a channel.
_PAGE, _PAGES = 200, 10

_CREDENTIALS = {
    "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission",
    "org_login_required", "ekm_access_denied", "access_denied", "team_access_not_granted",
}  # fmt: skip
# Words of a webhook that is gone.
_WEBHOOK_GONE = {"invalid_token", "no_service", "no_service_id", "no_active_hooks", "no_team", "team_disabled"}
_LATER = {"ratelimited", "rate_limited", "message_limit_exceeded", "service_unavailable"}
# "It's possible some aspect of the operation succeeded before the error was raised."
_UNKNOWN = {"internal_error", "fatal_error", "request_timeout", "rollup_error"}


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> Slack:
    """A client for the bot of `CDP_SLACK__TOKEN`, the webhook `CDP_SLACK__WEBHOOK_URL`, or both."""
    api = Http(spec, connection["base_url"], pace, {"Authorization": f"Bearer {connection['token']}"})
    address = urlsplit(connection["webhook_url"])
    webhook = Http(spec, f"{address.scheme}://{address.netloc}", pace) if address.netloc else None
    return Slack(api, bool(connection["token"]), webhook, address.path)


class Slack:
    """See `reverse_etl.destination.Client`."""

    def __init__(self, api: Http, has_token: bool, webhook: Http | None, webhook_path: str) -> None:
        self._api, self._has_token, self._webhook, self._webhook_path = api, has_token, webhook, webhook_path

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """See that the object's credentials are there, and that the bot's are good."""
        if object_name != "webhook_messages":
            if not self._has_token:
                raise _missing("TOKEN", "a bot token, xoxb-...")
            self._call("auth.test", {})
        elif self._webhook is None:
            raise _missing("WEBHOOK_URL", "the address of an incoming webhook, https://hooks.slack.com/services/...")

    def write(self, batch: Batch) -> Result:
        """Post one message."""
        (row,) = batch.rows
        body: dict[str, Any] = {"text": _text(row, batch.options)}
        if row.payload.get("blocks"):
            body["blocks"] = _blocks(str(row.payload["blocks"]))
        if batch.object == "webhook_messages":
            return self._post_to_webhook(body)
        body["channel"] = row.payload["channel"]
        body["metadata"] = {"event_type": _MARK, "event_payload": {"mark": _mark(batch.sync, row.key)}}
        if row.payload.get("thread_ts"):
            body["thread_ts"] = row.payload["thread_ts"]
        answer = self._call("chat.postMessage", body, repeatable=False)
        # The message's time is its id in the channel.
        return Result.all_succeeded(str(answer["ts"]))

    def read_back(self, batch: Batch) -> dict[str, Mapping[str, Any] | None]:
        """Whether messages stand in their channel, by the mark in their metadata; left out where too much was said since."""
        found: dict[str, Mapping[str, Any] | None] = {}
        seen: dict[tuple[str, str], tuple[set[str], bool]] = {}
        for row in batch.rows:
            place = (str(row.payload["channel"]), str(row.payload.get("thread_ts") or ""))
            if place not in seen:
                seen[place] = self._marks(*place)
            marks, is_whole = seen[place]
            if _mark(batch.sync, row.key) in marks:
                found[row.key] = row.payload
            elif is_whole:
                found[row.key] = None
        return found

    def close(self) -> None:
        """Give connections back."""
        self._api.close()
        if self._webhook is not None:
            self._webhook.close()

    def _marks(self, channel: str, thread: str) -> tuple[set[str], bool]:
        """Marks of the newest messages of a channel or thread, and whether those were all."""
        method, where = "conversations.history", {"channel": channel}
        if thread:
            method, where = "conversations.replies", {"channel": channel, "ts": thread}
        marks: set[str] = set()
        cursor = ""
        for _ in range(_PAGES):
            page = {
                **where,
                "limit": str(_PAGE),
                "include_all_metadata": "true",
                **({"cursor": cursor} if cursor else {}),
            }
            answer = self._call(method, page, form=True)
            for message in answer["messages"]:
                metadata = message.get("metadata") or {}
                if metadata.get("event_type") == _MARK:
                    marks.add(str(metadata["event_payload"].get("mark")))
            cursor = (answer.get("response_metadata") or {}).get("next_cursor", "")
            if not cursor:
                return marks, True
        return marks, False

    def _call(
        self, method: str, body: Mapping[str, Any], *, form: bool = False, repeatable: bool = True
    ) -> Mapping[str, Any]:
        """One call of the Web API. Methods that read take no JSON, so `form` puts the arguments into the address."""
        response = self._api.request(
            "GET" if form else "POST",
            f"/{method}",
            json=None if form else body,
            params=body if form else None,
            judge=_judge,
            repeatable=repeatable,
        )
        answer = response.json()
        if answer["ok"] is True:
            return dict(answer)
        code = str(answer.get("error", ""))
        if code in _CREDENTIALS:
            raise refused("slack", code, "the token of a bot that is installed in the workspace")
        needed = f" ({answer['needed']})" if code == "missing_scope" and answer.get("needed") else ""
        raise BatchRejectedError(f"Slack says {code or 'no reason'}{needed}", code)

    def _post_to_webhook(self, body: Mapping[str, Any]) -> Result:
        if self._webhook is None:
            raise _missing("WEBHOOK_URL", "the address of an incoming webhook")
        response = self._webhook.request("POST", self._webhook_path, json=body, judge=_judge, repeatable=False)
        word = response.text.strip()
        if response.status_code == 200 and word == "ok":
            return Result.all_succeeded()
        if word in _WEBHOOK_GONE:
            raise refused("slack", word, "the address of a webhook that exists")
        if response.status_code >= 400:
            known = word if word.replace("_", "").isalpha() and len(word) < 50 else f"status {response.status_code}"
            raise BatchRejectedError(f"Slack says {known}", known)
        return Result(others=Outcome("in_doubt", "the webhook did not answer ok", "no_answer"))


def _judge(response: Response) -> None:
    """429 with Retry-After is a refusal; some limits and failures come with 200 and `ok: false`."""
    if response.status_code == 200 and response.headers.get("content-type", "").startswith("application/json"):
        code = response.json().get("error", "")
        if code in _LATER:
            raise TryAgain(f"Slack says {code}", code="rate_limit")
        if code in _UNKNOWN:
            raise TryAgain(f"Slack says {code}", effect_unknown=True)
        return
    judge_status(response)


def _mark(sync: str, key: str) -> str:
    return hashlib.sha256(f"{sync}\0{key}".encode()).hexdigest()[:32]


def _text(row: Row, options: Mapping[str, str]) -> str:
    text = str(row.payload["text"])
    if options["escape"] == "no":
        return text
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _blocks(written: str) -> list[Any]:
    try:
        blocks = json.loads(written)
    except ValueError:
        blocks = None
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks) or len(blocks) > 50:
        raise BatchRejectedError("the blocks are no JSON list of at most 50 objects", "invalid_blocks_format")
    return blocks


def _missing(key: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"CDP_SLACK__{key} is not set", where="slack", expected=what, fix=f"set CDP_SLACK__{key} and run again"
    )
