"""A layer before an emulator that holds every request and every answer against the vendor's OpenAPI description."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from openapi_core import OpenAPI
from openapi_core.contrib.starlette import StarletteOpenAPIRequest, StarletteOpenAPIResponse
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response


class Held:
    """What the description says against the calls that went through. `wrong` stays empty when all fit."""

    def __init__(self, path: Path) -> None:
        """The emulator stands in the place of the description's own server; credentials are the emulator's to check."""
        description = json.loads(path.read_text(encoding="utf-8"))
        if "swagger" in description:
            description = _from_swagger(description)
        description["servers"] = [{"url": "/"}]
        description.pop("security", None)
        for item in description["paths"].values():
            for call in item.values():
                if isinstance(call, dict):
                    call.pop("security", None)
        self._api = OpenAPI.from_dict(description)
        self.wrong: list[str] = []
        self.seen = 0

    def before(self, app: Starlette) -> Starlette:
        """The application behind this layer."""

        async def check(request: Request, call_next: Callable[[Request], Any]) -> Response:
            body = await request.body()
            asked = StarletteOpenAPIRequest(request, body)
            self._try(f"{request.method} {request.url.path}", lambda: self._api.validate_request(asked))
            answer = await call_next(request)
            content = b"".join([part async for part in answer.body_iterator])
            whole = Response(content, answer.status_code, dict(answer.headers))
            if answer.status_code < 300:
                told = StarletteOpenAPIResponse(whole)
                where = f"answer {answer.status_code} of {request.method} {request.url.path}"
                self._try(where, lambda: self._api.validate_response(asked, told))
            self.seen += 1
            return whole

        app.add_middleware(BaseHTTPMiddleware, dispatch=check)
        return app

    def _try(self, where: str, check: Callable[[], None]) -> None:
        try:
            check()
        except Exception as error:
            causes = [getattr(each, "message", "") for each in getattr(error.__cause__, "schema_errors", [])]
            self.wrong.append(f"{where}: {type(error).__name__} {error} {causes[:2]}")


def _from_swagger(old: Mapping[str, Any]) -> dict[str, Any]:
    """Swagger 2.0 as OpenAPI 3.0, as far as paths, parameters, bodies and answers in JSON go."""
    paths: dict[str, Any] = {}
    for path, item in old["paths"].items():
        for method, call in item.items():
            new: dict[str, Any] = {"parameters": [], "responses": {}}
            for given in call.get("parameters", []):
                if given["in"] == "body":
                    content = {"application/json": {"schema": given["schema"]}}
                    new["requestBody"] = {"required": given.get("required", False), "content": content}
                else:
                    place = {name: given[name] for name in ("name", "in", "required") if name in given}
                    schema = {name: given[name] for name in ("type", "format", "items", "enum") if name in given}
                    new["parameters"].append({**place, "schema": schema})
            for status, answer in call["responses"].items():
                content = {"application/json": {"schema": answer["schema"]}} if "schema" in answer else {}
                new["responses"][status] = {"description": answer["description"], "content": content}
            paths.setdefault(path, {})[method] = new
    made = {"openapi": "3.0.3", "info": old["info"], "paths": paths, "components": {"schemas": old["definitions"]}}
    renamed = json.dumps(made).replace("#/definitions/", "#/components/schemas/")
    return dict(json.loads(renamed))
