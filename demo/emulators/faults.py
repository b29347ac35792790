"""What goes wrong with requests to an emulator, decided in advance: the nth request always has the same fate.

A `FaultPlan` holds a rate of errors, a rate limit and a scripted outage. Tests (and people) change it while the
emulator runs, with `POST /<emulator>/_control`, whose body is a FaultPlan as JSON; `GET` answers the plan in force.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LOOPBACK = ("127.0.0.1", "::1", "testclient")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    `after_effect`: the request is carried out and only its answer is lost. `delay_seconds`: the answer comes late.
    """

    status: int
    retry_after: int | None = None
    after_effect: bool = False
    delay_seconds: float = 0.0


class RateLimit(BaseModel):
    """At most `requests` in any `seconds`; more are answered 429 with Retry-After."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: int = Field(ge=1)
    seconds: float = Field(gt=0)


class Outage(BaseModel):
    """Every request (to a path that contains `path`) fails, for a number of requests or of seconds from now."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(500, ge=400, le=599)
    requests: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0)
    path: str = ""
    retry_after: int | None = Field(None, ge=0)
    after_effect: bool = False


class FaultPlan(BaseModel):
    """The faults of one emulator. Empty: all goes well."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    error_rate: float = Field(0.0, ge=0, le=1, description="Share of requests that fail: 500, 503 and time-outs.")
    throttle_rate: float = Field(0.0, ge=0, le=1, description="Share of requests answered 429 with Retry-After: 1.")
    hang_seconds: float = Field(1.0, ge=0, le=60, description="How long a request hangs before it times out (504).")
    rate_limit: RateLimit | None = None
    outage: Outage | None = None


class Faults:
    """Decides which request fails. Deterministic but for rate limits and outages in seconds, which follow `clock`."""

    def __init__(
        self, plans: dict[str, FaultPlan] | None = None, *, seed: int = 7, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._plans: dict[str, FaultPlan] = dict(plans or {})
        self._seed, self._clock = seed, clock
        self._recent: dict[str, deque[float]] = {}
        self._outage_left: dict[str, int] = {}
        self._outage_until: dict[str, float] = {}

    def plan(self, emulator: str) -> FaultPlan:
        """The plan in force."""
        return self._plans.get(emulator, FaultPlan())

    def change(self, emulator: str, plan: FaultPlan) -> None:
        """Put another plan in force; an outage begins now."""
        self._plans[emulator] = plan
        self._recent.pop(emulator, None)
        self._outage_left.pop(emulator, None)
        self._outage_until.pop(emulator, None)
        if plan.outage and plan.outage.requests:
            self._outage_left[emulator] = plan.outage.requests
        if plan.outage and plan.outage.seconds:
            self._outage_until[emulator] = self._clock() + plan.outage.seconds

    def fate(self, emulator: str, request_number: int, path: str) -> Fault | None:
        """The fault of a request, or None. Call it once per request: outages and rate limits count the calls."""
        plan = self.plan(emulator)
        outage = plan.outage
        if outage and outage.path in path and self._in_outage(emulator, outage):
            return Fault(outage.status, outage.retry_after, outage.after_effect)
        if plan.rate_limit and (wait := self._must_wait(emulator, plan.rate_limit)):
            return Fault(429, retry_after=wait)
        u = self._draw(emulator, request_number)
        if u < plan.throttle_rate:
            return Fault(429, retry_after=1)
        if u < plan.throttle_rate + plan.error_rate:
            which = int((u - plan.throttle_rate) / plan.error_rate * 4)
            return (
                Fault(500),
                Fault(503, retry_after=1),
                Fault(504, delay_seconds=plan.hang_seconds),
                Fault(500, after_effect=True),
            )[which]
        return None

    def _draw(self, emulator: str, request_number: int) -> float:
        digest = hashlib.sha256(f"{self._seed}/{emulator}/{request_number}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    def _in_outage(self, emulator: str, outage: Outage) -> bool:
        if outage.seconds is not None:
            return self._clock() < self._outage_until.get(emulator, 0.0)
        if outage.requests is None:
            return True
        left = self._outage_left.get(emulator, 0)
        self._outage_left[emulator] = max(0, left - 1)
        return left > 0

    def _must_wait(self, emulator: str, limit: RateLimit) -> int:
        """Whole seconds until a request is allowed again; 0 when this one is, which is then counted."""
        now, recent = self._clock(), self._recent.setdefault(emulator, deque())
        while recent and recent[0] <= now - limit.seconds:
            recent.popleft()
        if len(recent) >= limit.requests:
            return max(1, int(recent[0] + limit.seconds - now + 0.999))
        recent.append(now)
        return 0


Handler = Callable[[Request], Awaitable[Response]]


class FaultyRoutes:
    """Makes the routes of an emulator whose every request may fail; `render` turns a fault into the vendor's answer."""

    def __init__(self, emulator: str, faults: Faults, render: Callable[[Fault], Response]) -> None:
        self._emulator, self._faults, self._render = emulator, faults, render
        self._numbers = itertools.count(1)

    def route(self, path: str, handler: Handler, method: str = "GET") -> Route:
        """A route whose handler runs, fails, or runs and loses its answer."""

        async def endpoint(request: Request) -> Response:
            fault = self._faults.fate(self._emulator, next(self._numbers), request.url.path)
            if fault is None:
                return await handler(request)
            if fault.delay_seconds:
                await asyncio.sleep(fault.delay_seconds)
            if fault.after_effect:
                await handler(request)
            return self._render(fault)

        return Route(path, endpoint, methods=[method])

    def control(self) -> Route:
        """The route `/_control` of this emulator."""
        return Route(
            "/_control", control_endpoint(lambda _request: self._emulator, self._faults), methods=["GET", "POST"]
        )


def control_endpoint(emulator_of: Callable[[Request], str], faults: Faults) -> Handler:
    """Answers and changes the plan of an emulator, for callers on this machine only."""

    async def endpoint(request: Request) -> Response:
        if request.client is None or request.client.host not in LOOPBACK:
            return JSONResponse({"error": "only from this machine"}, 403)
        emulator = emulator_of(request)
        if request.method == "POST":
            try:
                faults.change(emulator, FaultPlan.model_validate_json(await request.body() or b"{}"))
            except ValidationError as error:
                problems = [{"key": ".".join(map(str, e["loc"])), "problem": e["msg"]} for e in error.errors()]
                return JSONResponse({"error": "not a fault plan", "problems": problems}, 422)
        return JSONResponse(faults.plan(emulator).model_dump(mode="json"))

    return endpoint
