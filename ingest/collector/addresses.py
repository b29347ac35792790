"""The addresses that events come to: those of Segment and RudderStack, and of other trackers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingest.collector import dialects
from ingest.collector.bodies import Refused

Reader = Callable[[Any], tuple[list[Any], Any]]

_SHORT = {"t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias"}


def _single(body: Any) -> tuple[list[Any], Any]:
    return [body], body.get("sentAt") if isinstance(body, dict) else None


def _batch(body: Any) -> tuple[list[Any], Any]:
    batch = body.get("batch") if isinstance(body, dict) else None
    if not isinstance(batch, list):
        raise Refused(400, "invalid_batch", '"batch": a list of events is missing')
    return batch, body.get("sentAt")


# address -> (how its body is read, the type it stands for)
ADDRESSES: dict[str, tuple[Reader, str | None]] = {
    **{f"/v1/{type_}": (_single, type_) for type_ in _SHORT.values()},
    **{f"/v1/{short}": (_single, type_) for short, type_ in _SHORT.items()},
    **{f"/api/s/{type_}": (_single, type_) for type_ in _SHORT.values()},
    **dict.fromkeys(("/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch"), (_batch, None)),
    "/batch/": (dialects.from_posthog, None),
    "/batch": (dialects.from_posthog, None),
    "/com.snowplowanalytics.snowplow/tp2": (dialects.from_snowplow, None),
}
