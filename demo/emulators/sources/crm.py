"""The CRM: a REST API of the usual kind, with change dates, cursors, bearer token and rate limit.

    GET /v1/{accounts,contacts,leads,opportunities,stage_history}?updated_since=<ISO>&limit=<1..200>&cursor=<text>
    -> {"results": [...], "paging": {"next": {"cursor": "..."}}}
    sorted by (updated_at, id); the last page has no `next`

The shape of pages is that of HubSpot's CRM API (`results`, `paging.next.after`); the contract is this docstring.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.backing import Backing, Key, epoch_seconds
from demo.emulators.faults import Fault, FaultPlan, Faults, FaultyRoutes, RateLimit

TOKEN = "demo-crm-token"  # noqa: S105 - the emulator's own
OBJECTS = ("accounts", "contacts", "leads", "opportunities", "stage_history")
PAGE_LIMIT = 200
FAULTS = FaultPlan(error_rate=0.02, hang_seconds=1.0, rate_limit=RateLimit(requests=100, seconds=10))


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    return {"CDP_CRM__BASE_URL": base_url, "CDP_CRM__TOKEN": TOKEN}


def create_app(world_dir: Path, state_dir: Path, faults: Faults) -> Starlette:
    """The emulator over `world_dir/sources/crm`. It keeps no state of its own."""
    backings = {
        name: Backing(world_dir / "sources" / "crm" / f"{name}.jsonl", lambda row: str(row["id"])) for name in OBJECTS
    }
    routes = FaultyRoutes("crm", faults, _render)

    async def listing(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _error(401, "unauthorized", "the bearer token is missing or not valid")
        backing = backings.get(request.path_params["object"])
        if backing is None:
            return _error(404, "not_found", f"there is no such object; known: {', '.join(OBJECTS)}")
        try:
            limit = int(request.query_params.get("limit", "100"))
        except ValueError:
            limit = 0
        if not 1 <= limit <= PAGE_LIMIT:
            return _error(400, "bad_limit", f"limit must be a whole number from 1 to {PAGE_LIMIT}")
        try:
            if cursor := request.query_params.get("cursor"):
                rows = backing.after(_read_cursor(cursor), limit + 1)
            else:
                since = request.query_params.get("updated_since", "1970-01-01T00:00:00Z")
                rows = backing.since(epoch_seconds(since), limit + 1)
        except _BadCursor:
            return _error(400, "bad_cursor", "the cursor is not one that this API gave")
        except (ValueError, OverflowError):
            return _error(400, "bad_updated_since", "updated_since must be an ISO 8601 time")
        page, has_more = rows[:limit], len(rows) > limit
        paging = f'"paging":{{"next":{{"cursor":"{_write_cursor(page[-1].key)}"}}}}' if has_more else '"paging":{}'
        body = f'{{"results":[{",".join(row.text for row in page)}],{paging}}}'
        return Response(body, media_type="application/json")

    return Starlette(routes=[routes.control(), routes.route("/v1/{object}", listing)])


class _BadCursor(Exception):
    pass


def _write_cursor(key: Key) -> str:
    return base64.urlsafe_b64encode(f"{key[0]}|{key[1]}".encode()).decode()


def _read_cursor(cursor: str) -> Key:
    try:
        seconds, _, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        return int(seconds), row_id
    except (ValueError, binascii.Error):
        raise _BadCursor from None


def _render(fault: Fault) -> Response:
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
    code = "rate_limited" if fault.status == 429 else "internal_error"
    return _error(fault.status, code, "slow down" if fault.status == 429 else "try again later", headers)


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)
