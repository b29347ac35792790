"""The help desk: Zendesk's incremental cursor export of tickets.

Contract: developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports, "Incremental Ticket
Export, Cursor Based": `start_time` (epoch seconds) starts, `cursor` goes on; the answer has `tickets`, `after_cursor`,
`after_url` and `end_of_stream`. `after_cursor` is there at the end of the stream too: the next export begins with it.
Basic auth is `<email>/token:<token>`. The vendor allows ten such requests a minute; here the limit is ten in three
seconds, so that a demo does not take all day.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.backing import Backing, Key
from demo.emulators.faults import Fault, FaultPlan, Faults, FaultyRoutes, RateLimit

EMAIL = "support-export@lumen.example"
TOKEN = "demo-support-token"  # noqa: S105 - the emulator's own
PAGE_LIMIT = 1_000
PATH = "/api/v2/incremental/tickets/cursor.json"
FAULTS = FaultPlan(error_rate=0.01, throttle_rate=0.02, hang_seconds=1.0, rate_limit=RateLimit(requests=10, seconds=3))


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    return {"CDP_SUPPORT__BASE_URL": base_url, "CDP_SUPPORT__EMAIL": EMAIL, "CDP_SUPPORT__TOKEN": TOKEN}


def create_app(world_dir: Path, state_dir: Path, faults: Faults) -> Starlette:
    """The emulator over `world_dir/sources/support`. It keeps no state of its own."""
    tickets = Backing(world_dir / "sources" / "support" / "tickets.jsonl", lambda row: f"{row['id']:020}")
    routes = FaultyRoutes("support", faults, _render)
    expected = "Basic " + base64.b64encode(f"{EMAIL}/token:{TOKEN}".encode()).decode()

    async def export(request: Request) -> Response:
        if request.headers.get("authorization") != expected:
            return JSONResponse({"error": "Couldn't authenticate you"}, 401)
        query = request.query_params
        try:
            limit = int(query.get("per_page", str(PAGE_LIMIT)))
            if not 1 <= limit <= PAGE_LIMIT:
                raise ValueError
        except ValueError:
            return _invalid(f"per_page must be a whole number from 1 to {PAGE_LIMIT}")
        if cursor := query.get("cursor"):
            key = _read_cursor(cursor)
            if key is None:
                return _invalid("The cursor is invalid")
            rows = tickets.after(key, limit + 1)
        else:
            try:
                start = int(query["start_time"])
            except (KeyError, ValueError):
                return _invalid("start_time must be a Unix epoch time in seconds")
            key = (start, "")
            rows = tickets.since(start, limit + 1)
        page, is_end = rows[:limit], len(rows) <= limit
        after = _write_cursor(page[-1].key if page else key)
        url = str(request.url.replace(query=f"cursor={after}"))
        tail = f'"after_url":{json.dumps(url)},"after_cursor":"{after}","end_of_stream":{"true" if is_end else "false"}'
        return Response(f'{{"tickets":[{",".join(row.text for row in page)}],{tail}}}', media_type="application/json")

    return Starlette(routes=[routes.control(), routes.route(PATH, export)])


def _write_cursor(key: Key) -> str:
    return base64.urlsafe_b64encode(f"{key[0]}.0||{key[1]}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> Key | None:
    try:
        seconds, _, row_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(".0||")
        return int(seconds), row_id
    except (ValueError, binascii.Error):
        return None


def _invalid(message: str) -> Response:
    return JSONResponse({"error": "InvalidValue", "description": message}, 400)


def _render(fault: Fault) -> Response:
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
    error = "APIRateLimitExceeded" if fault.status == 429 else "InternalServerError"
    return JSONResponse({"error": error, "description": "try again later"}, fault.status, headers)
