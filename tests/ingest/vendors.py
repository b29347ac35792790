"""Servers that keep a vendor's contract, and refuse now and then as vendors do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Handler = Callable[[Request], Any]


def serve_under_load(serve: Callable[[Starlette], str], *routes: Route) -> str:
    """A server that fails every fourth request, as vendors do under load: by turns it refuses (429) and is down (503)."""
    asked = [0]

    def limited(handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            asked[0] += 1
            if asked[0] % 4 == 2:
                return JSONResponse({"message": "later"}, 429 if asked[0] % 8 == 2 else 503, {"Retry-After": "0"})
            found = handler(request)
            result: Response = await found if inspect.isawaitable(found) else found
            return result

        return answer

    methods = {r.path: sorted(r.methods or {"GET"}) for r in routes}
    return serve(Starlette(routes=[Route(r.path, limited(r.endpoint), methods=methods[r.path]) for r in routes]))
