"""Slack as far as a bot and an incoming webhook see it: channels, messages with metadata, history, limits, errors.

Contract: docs.slack.dev, "chat.postMessage", "conversations.history", "conversations.replies", "auth.test", "Message
metadata", "Rate limits" (a message a second and channel), and "Sending messages using incoming webhooks". Failures of the
Web API come with HTTP 200 and `ok: false`; those of webhooks are words in plain text.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from demo.emulators.destinations import Fates
from demo.emulators.destinations._vendor import Handler, Refusal, Vendor

TOKEN = "xoxb-demo-slack"  # noqa: S105 - the emulator's own
READ_ONLY_TOKEN = "xoxb-demo-reader"  # noqa: S105
HOOK = "/services/T0LUMEN/B0CRM/demo-webhook"
# A bot is a member of the first two; the third is archived; in the fourth only admins may post.
CHANNELS = {"C0CRM": "crm", "C0SALES": "sales", "C0OLD": "old", "C0NEWS": "announcements", "C0BOARD": "board"}
_FORBIDDEN = {"C0OLD": "is_archived", "C0NEWS": "restricted_action", "C0BOARD": "not_in_channel"}
_HOOK_CHANNEL = "C0CRM"
_LONGEST = 40_000


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    return {
        "CDP_SLACK__BASE_URL": f"{base_url}/api",
        "CDP_SLACK__TOKEN": TOKEN,
        "CDP_SLACK__WEBHOOK_URL": f"{base_url}{HOOK}",
    }


def create_app(world_dir: Path, state_dir: Path, faults: Fates, *, seconds_between: float = 0.0) -> Starlette:
    """The emulator. `world_dir` is not read. `seconds_between`: what Slack asks for between messages to a channel."""
    return Slack(state_dir, faults, seconds_between).app()


class Slack(Vendor):
    """State and rules of one workspace. `message` keeps messages by channel and time."""

    name = "slack"

    def __init__(self, state_dir: Path, faults: Fates, seconds_between: float) -> None:
        super().__init__(state_dir, faults)
        self._seconds_between = seconds_between
        self._last: dict[str, float] = {}

    def routes(self) -> list[tuple[str, str, Handler]]:
        """The Web API's methods, and the webhook."""
        return [
            ("POST", "/api/auth.test", self._auth_test),
            ("POST", "/api/chat.postMessage", self._post),
            ("GET", "/api/conversations.history", self._history),
            ("GET", "/api/conversations.replies", self._replies),
            ("POST", "/services/{team}/{hook}/{secret}", self._webhook),
        ]

    def authorise(self, request: Request) -> None:
        """Webhooks carry their secret in the address; all else is for the bots."""
        if request.url.path.split("/")[-4:-3] == ["services"]:
            return
        given = request.headers.get("Authorization", "")
        if not given:
            raise _no("not_authed")
        if given not in (f"Bearer {TOKEN}", f"Bearer {READ_ONLY_TOKEN}"):
            raise _no("invalid_auth")

    def error(self, status: int, message: str) -> Any:
        """Of faults."""
        return {"ok": False, "error": "ratelimited" if status == 429 else "internal_error"}

    def _auth_test(self, _request: Request, _content: bytes) -> Response:
        return JSONResponse({"ok": True, "team": "Lumen", "user": "tributary", "team_id": "T0LUMEN", "bot_id": "B0BOT"})

    def _post(self, request: Request, content: bytes) -> Response:
        if request.headers["Authorization"] != f"Bearer {TOKEN}":
            raise _no("missing_scope", needed="chat:write", provided="channels:history")
        body = self.document(content)
        channel = str(body.get("channel", ""))
        if channel not in CHANNELS:
            raise _no("channel_not_found")
        if channel in _FORBIDDEN:
            raise _no(_FORBIDDEN[channel])
        if (problem := _wrong(body)) is not None:
            raise _no(problem)
        self._throttle(channel)
        stored = self._store(channel, body)
        return JSONResponse({"ok": True, "channel": channel, "ts": stored["ts"], "message": stored})

    def _webhook(self, request: Request, content: bytes) -> Response:
        if not request.url.path.endswith(HOOK):
            return PlainTextResponse("no_service", 404)
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return PlainTextResponse("invalid_payload", 400)
        if (problem := _wrong(body)) is not None:
            return PlainTextResponse(problem, 400)
        self._throttle(_HOOK_CHANNEL)
        self._store(_HOOK_CHANNEL, body)
        return PlainTextResponse("ok")

    def _store(self, channel: str, body: dict[str, Any]) -> dict[str, Any]:
        # Times count up by one: the same calls give the same answers.
        number = self.count("message") + 1
        kept = {name: body[name] for name in ("text", "blocks", "metadata", "thread_ts") if body.get(name)}
        message = {"type": "message", "ts": f"{1_767_225_600 + number}.{number:06d}", **kept}
        self.put("message", f"{number:08d} {channel}", {"channel": channel, **message})
        return message

    def _throttle(self, channel: str) -> None:
        now = time.monotonic()
        if self._seconds_between and now - self._last.get(channel, float("-inf")) < self._seconds_between:
            raise Refusal(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "1"})
        self._last[channel] = now

    def _history(self, request: Request, _content: bytes) -> Response:
        return self._page(request, lambda message: "thread_ts" not in message)

    def _replies(self, request: Request, _content: bytes) -> Response:
        parent = request.query_params.get("ts", "")
        return self._page(request, lambda message: parent in (message["ts"], message.get("thread_ts")))

    def _page(self, request: Request, wanted: Any) -> Response:
        asked = request.query_params
        if asked.get("channel") not in CHANNELS:
            raise _no("channel_not_found")
        limit, start = int(asked.get("limit", "100")), int(asked.get("cursor") or 0)
        if not 1 <= limit <= 999:
            raise _no("invalid_limit")
        rows = self._db.execute("select value from held where kind = 'message' order by id desc").fetchall()
        found = [message for row in rows if (message := json.loads(row[0])).pop("channel") == asked["channel"]]
        found = [message for message in found if wanted(message)]
        if asked.get("include_all_metadata") != "true":
            for message in found:
                message.pop("metadata", None)
        following = str(start + limit) if len(found) > start + limit else ""
        return JSONResponse(
            {
                "ok": True,
                "messages": found[start : start + limit],
                "has_more": bool(following),
                "response_metadata": {"next_cursor": following},
            }
        )


def _wrong(body: dict[str, Any]) -> str | None:
    blocks = body.get("blocks")
    if not body.get("text") and not blocks:
        return "no_text"
    if len(str(body.get("text", ""))) > _LONGEST:
        return "msg_too_long"
    if blocks is not None and (
        not isinstance(blocks, list) or len(blocks) > 50 or not all("type" in b for b in blocks)
    ):
        return "invalid_blocks"
    return None


def _no(code: str, **more: str) -> Refusal:
    return Refusal(200, {"ok": False, "error": code, **more})
