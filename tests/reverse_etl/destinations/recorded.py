"""Requests that RudderStack's transformer sent (MIT, as of September 2023), and how ours to an emulator are heard."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response

from reverse_etl.destination import Batch, BatchRejectedError
from tests.reverse_etl.destinations.shared import account, shared_data


def requests_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every recorded request, however deep."""
    if isinstance(value, dict) and "endpoint" in value and "body" in value:
        yield value
    else:
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from requests_in(each)


def recorded(name: str, path: str) -> list[dict[str, Any]]:
    """Recorded requests to calls that end so."""
    content = json.loads((shared_data("rudder_transformer_mit_2023") / "destinations" / f"{name}.json").read_text())
    return [each for each in requests_in(content) if each["endpoint"].partition("?")[0].endswith(path)]


class Heard:
    """A layer before an emulator that keeps every request."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, str, bytes]] = []

    def before(self, app: Starlette) -> Starlette:
        """The application behind this layer."""

        async def keep(request: Request, call_next: Callable[[Request], Any]) -> Response:
            self.bodies.append((request.method, request.url.path, await request.body()))
            answer: Response = await call_next(request)
            return answer

        app.add_middleware(BaseHTTPMiddleware, dispatch=keep)
        return app


def sent(emulator: Any, folder: Path, batches: Sequence[Batch]) -> list[tuple[str, str, bytes]]:
    """What our client sends for each batch. Whether the emulated account takes it is no matter here."""
    heard = Heard()
    with account(emulator, folder, around=heard.before) as there:
        for each in batches:
            with contextlib.suppress(BatchRejectedError):
                call = {"delete": "delete", "merge": "merge"}.get(each.rows[0].operation, "write")
                getattr(there.client, call)(each)
    return heard.bodies


def without(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in names}
