"""The collector as an ASGI application: Segment's HTTP API, webhooks, and what operations need.

Answers are small JSON and exactly 200 when events were taken (RudderStack's Python SDK sends a batch again after any other
2xx), errors are {"code", "message"} (it fails on others), and `Retry-After` is whole seconds on 429 and 503. Addresses that
events come to are looked up in one table; the few others are Starlette routes.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ingest.collector import webhooks, wecom
from ingest.collector.addresses import ADDRESSES, Reader
from ingest.collector.answers import ALLOWED_HEADERS, JSON, OK, Headers, Send, answer, as_refusal, cors, uncached
from ingest.collector.bodies import Memory, Refused, key_of, parsed, read_body, unpacked
from ingest.collector.events import (
    Arrival,
    Validator,
    arrival_times,
    parse_time,
)
from ingest.collector.keys import Door, Doors
from ingest.collector.limits import Limits
from ingest.collector.log import Log
from ingest.collector.metrics import CONTENT_TYPE, Metrics
from ingest.collector.settings_endpoints import rudder_config, segment_settings
from ingest.collector.taking import take

Scope = Mapping[str, Any]
Endpoint = Callable[[Request], Awaitable[Response]]

FREE_BYTES = 64 * 1024**2


class Collector:
    """The application. `doors` may be replaced while it runs (keys are rotated); `log` must be open."""

    def __init__(
        self,
        log: Log,
        doors: Doors,
        limits: Limits,
        *,
        validator: Validator | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.log, self.doors, self.limits, self.validator = log, doors, limits, validator
        self.metrics = Metrics(log)
        self.is_leaving = False
        self._now = now
        self._memory = Memory(limits.queue_bytes)
        routes = [
            Route("/health", self._health),
            Route("/ready", self._ready),
            Route("/metrics", self._metrics),
            Route("/v1/projects/{key}/settings", self._told(self._segment_settings)),
            Route("/sourceConfig/", self._told(self._rudder_config)),
            Route("/sourceConfig", self._told(self._rudder_config)),
            Route("/v1/webhook/{name}", self._told(self._webhook), methods=["GET", "POST"]),
        ]
        self._others = Starlette(
            routes=routes, lifespan=self._lifespan, exception_handlers={HTTPException: self._no_such_address}
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._others(scope, receive, send)
            return
        address = ADDRESSES.get(scope["path"])
        if scope["method"] == "OPTIONS":
            await self._preflight(scope, send)
        elif address is None:
            await self._others(scope, receive, send)
        elif scope["method"] == "POST":
            await self._collect(address, scope, receive, send)
        else:
            await self._say_no(Refused(405, "method_not_allowed", "events come by POST"), send, b"")

    # ---- events

    async def _collect(self, address: tuple[Reader, str | None], scope: Scope, receive: Any, send: Send) -> None:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        started = perf_counter()
        try:
            body = await self._take(address, headers, scope["query_string"], receive)
        except Exception as error:
            await self._say_no(as_refusal(error), send, origin)
        else:
            await answer(send, 200, body, cors(origin))
        self.metrics.seconds.observe(perf_counter() - started)

    async def _take(
        self, address: tuple[Reader, str | None], headers: Mapping[bytes, bytes], query: bytes, receive: Any
    ) -> bytes:
        if self.is_leaving:
            raise Refused(503, "stopping", "the collector is being stopped", retry_after=2)
        limits = self.limits
        raw = await read_body(receive, headers, limits.body_bytes, limits.slow_seconds, self._memory)
        body = parsed(unpacked(raw, headers.get(b"content-encoding", b""), limits.body_bytes))
        door = self.doors.of(*key_of(headers, query), body)
        door.check_origin(headers.get(b"origin", b"").decode("ascii", "replace"))
        reader, type_ = address
        events, sent_at = reader(body)
        if len(events) > limits.batch_events:
            raise Refused(413, "too_many_events", f"a batch has at most {limits.batch_events} events")
        door.admit(len(events))
        received = self._now()
        arrival = Arrival(
            door.input.name,
            door.input.channel,
            door.types,
            received,
            arrival_times(received),
            parse_time(sent_at) or sent_header(headers),
            limits.event_bytes,
            self.validator,
        )
        return await self._store(events, arrival, type_)

    async def _store(self, events: list[Any], arrival: Arrival, type_: str | None) -> bytes:
        taken = take(events, arrival, type_, self.log.seen)
        await self.log.append(taken.records, taken.ids)
        self.metrics.count(arrival.source, taken)
        if not taken.reasons:
            return OK
        if not taken.kinds and not taken.duplicates:
            raise Refused(400, "invalid_event", f"{taken.reasons[0]}; it was set aside")
        return orjson.dumps({"success": True, "set_aside": len(taken.reasons)})

    # ---- webhooks

    async def _webhook(self, request: Request) -> Response:
        door = self.doors.webhook(request.path_params["name"])
        verify, now = door.input.webhook.verify if door.input.webhook else "", self._now()
        query = dict(request.query_params)
        if request.method == "GET":
            if verify not in ("wecom", "wechat"):
                raise Refused(405, "method_not_allowed", "deliveries come by POST")
            return PlainTextResponse(wecom.echo(door, query, now))
        headers = dict(request.scope["headers"])
        limits = self.limits
        body = await read_body(request.receive, headers, limits.body_bytes, limits.slow_seconds, self._memory)
        if verify in ("wecom", "wechat"):
            callback = wecom.delivered(door, query, body, now)
            await self._keep(door, callback.proof, callback.payload, now)
            return PlainTextResponse("success")
        is_shopify = verify == "shopify"
        proof = (
            webhooks.verify_shopify(door, headers, body)
            if is_shopify
            else webhooks.verify_hmac(door, headers, body, now)
        )
        await self._keep(door, proof, parsed(body), now)
        return Response(OK, media_type="application/json")

    async def _keep(self, door: Door, proof: webhooks.Proof, payload: Any, now: datetime) -> None:
        name, seen = door.input.name, self.log.seen
        keys = [f"{name} {proof.delivery}", f"{name} {proof.signature}"]
        if any(key in seen for key in keys):
            self.metrics.duplicates.labels(name).inc()
            await self.log.append([], [])
            return
        record = webhooks.delivery_record(name, proof, payload, now)
        for key in keys:
            seen.add(key)
        await self.log.append([record], keys)
        self.metrics.deliveries.labels(name).inc()

    # ---- the rest

    def _told(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint, with its failures told as everywhere, and readable for pages of other origins."""

        async def telling(request: Request) -> Response:
            origin = dict(request.scope["headers"]).get(b"origin", b"")
            try:
                response = await endpoint(request)
            except Exception as error:
                refused = as_refusal(error)
                status, body, headers = self._refusal(refused, origin)
                return Response(body, status, {k.decode(): v.decode("latin-1") for k, v in [JSON, *headers]})
            for name, value in cors(origin):
                response.headers[name.decode()] = value.decode("latin-1")
            return response

        return telling

    async def _no_such_address(self, _: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        code = "not_found" if status == 404 else "method_not_allowed"
        body = orjson.dumps({"code": code, "message": "the collector has no such address; see docs/collector.md"})
        return Response(body, status, media_type="application/json")

    async def _health(self, _: Request) -> Response:
        return Response(b'{"status":"alive"}', media_type="application/json")

    async def _ready(self, _: Request) -> Response:
        reason = ""
        if self.is_leaving:
            reason = "stopping"
        elif self.log.failure:
            reason = f"the log cannot be written: {self.log.failure}"
        elif shutil.disk_usage(self.log.folder).free < FREE_BYTES:
            reason = "the disk is almost full"
        state = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
        return Response(orjson.dumps(state), 503 if reason else 200, media_type="application/json")

    async def _metrics(self, _: Request) -> Response:
        return Response(self.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def _segment_settings(self, request: Request) -> Response:
        self.doors.by_key(request.path_params["key"])
        return uncached(segment_settings(request, self.limits.public_url))

    async def _rudder_config(self, request: Request) -> Response:
        _, key = key_of(dict(request.scope["headers"]), request.scope["query_string"])
        return uncached(rudder_config(key, self.doors.by_key(key).input.name))

    async def _preflight(self, scope: Scope, send: Send) -> None:
        """A page asks whether it may send. It comes without a key: any input's origin will do, the key decides later."""
        origin = dict(scope["headers"]).get(b"origin", b"")
        headers = [
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"access-control-allow-headers", ALLOWED_HEADERS.encode()),
            (b"access-control-max-age", b"7200"),
        ]
        if not origin or self.doors.allows(origin.decode("ascii", "replace")):
            await answer(send, 200, b"", [*cors(origin), *headers])
        else:
            await answer(send, 403, b"", [])

    async def _say_no(self, refused: Refused, send: Send, origin: bytes) -> None:
        status, body, headers = self._refusal(refused, origin)
        await answer(send, status, body, headers)

    def _refusal(self, refused: Refused, origin: bytes) -> tuple[int, bytes, Headers]:
        self.metrics.refused.labels(refused.code).inc()
        headers = [] if refused.code == "origin_not_allowed" else cors(origin)
        if refused.retry_after is not None:
            headers.append((b"retry-after", b"%d" % refused.retry_after))
        if refused.status == 408:
            headers.append((b"connection", b"close"))
        return refused.status, orjson.dumps({"code": refused.code, "message": refused.message}), headers

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        rotating = asyncio.create_task(self.log.keep_rotating())
        yield
        rotating.cancel()
        with suppress(asyncio.CancelledError):
            await rotating
        await asyncio.get_running_loop().run_in_executor(None, self.log.close)


def sent_header(headers: Mapping[bytes, bytes]) -> datetime | None:
    value = headers.get(b"sentat")
    return parse_time(value.decode("ascii", "replace")) if value else None
