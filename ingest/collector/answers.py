"""How the collector answers: small JSON, errors as {"code", "message"}, readable for pages of other origins."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.responses import Response

from ingest.collector.bodies import Refused
from ingest.collector.log import Full, NotDurable

Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

ALLOWED_HEADERS = "authorization, content-type, content-encoding, x-retry-count, anonymousid, sentat, x-write-key"
OK = b'{"success":true}'
JSON = (b"content-type", b"application/json")

logger = logging.getLogger("cdp.collector")


def as_refusal(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, Full):
        return Refused(429, "overloaded", "more is waiting for the disk than memory may hold", retry_after=1)
    if isinstance(error, NotDurable):
        return Refused(503, "not_durable", f"the events could not be written: {error}; send them again", retry_after=2)
    # the text of an error may quote what was sent: only its kind is told
    logger.error("an event request failed: %s", type(error).__name__)
    return Refused(500, "internal", "the collector failed; send it again")


def cors(origin: bytes) -> Headers:
    if not origin:
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b"Retry-After"),
        (b"vary", b"Origin"),
    ]


def uncached(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), media_type="application/json", headers={"cache-control": "no-cache"})


async def answer(send: Send, status: int, body: bytes, headers: Headers) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body})
