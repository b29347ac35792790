"""What the browser SDKs ask for before they send: where to, and which other destinations (none: those are our syncs).

@segment/analytics-next asks GET {cdnURL}/v1/projects/{writeKey}/settings, @rudderstack/analytics-js GET
{configUrl}/sourceConfig/. The documents are the least with which the unmodified SDKs were seen to send.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?")


def segment_settings(request: Request, public_url: str) -> dict[str, Any]:
    """Settings of analytics-next: events go to this collector."""
    scheme, host = _address(request, public_url)
    segment = {"apiKey": request.path_params["key"], "apiHost": f"{host}/v1", "protocol": scheme}
    return {"integrations": {"Segment.io": segment}, "plan": {}, "edgeFunction": {}}


def rudder_config(key: str, name: str) -> dict[str, Any]:
    """Source configuration of analytics-js: enabled, without destinations of its own."""
    off = {"enabled": False}
    return {
        "source": {
            "id": name,
            "name": name,
            "writeKey": key,
            "enabled": True,
            "workspaceId": "tributary",
            "config": {"statsCollection": {"errors": off, "metrics": off}},
            "connections": [],
            "destinations": [],
            "dataplanes": {},
        }
    }


def _address(request: Request, public_url: str) -> tuple[str, str]:
    if public_url:
        parts = urlsplit(public_url)
        return parts.scheme, parts.netloc + parts.path
    host = request.headers.get("host", "")
    # the header is the client's: what is no host is not repeated
    return request.url.scheme, host if _HOST.fullmatch(host) else "127.0.0.1"
