"""Other trackers' events in Segment's shape: PostHog's batches, Snowplow's tracker protocol 2.

Sources: posthog.com/docs/api/capture; docs.snowplow.io, tracker protocol; both as their Python clients were seen to send.
Jitsu's clients send Segment's shape.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from ingest.collector.bodies import Refused

_SNOWPLOW_TYPES = {"pv": "page", "se": "track", "ue": "track", "tr": "track", "ti": "track"}


def from_posthog(body: Any) -> tuple[list[Any], Any]:
    """(events, when they were sent) of a body of /batch/."""
    batch = body.get("batch") if isinstance(body, dict) else None
    if not isinstance(batch, list):
        raise Refused(400, "invalid_batch", '"batch": a list of events is missing')
    return [_posthog_event(event) for event in batch], body.get("sent_at")


def from_snowplow(body: Any) -> tuple[list[Any], Any]:
    """(events, when they were sent) of a body of /com.snowplowanalytics.snowplow/tp2."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list):
        raise Refused(400, "invalid_batch", '"data": a list of events is missing')
    return [_snowplow_event(event) for event in data], None


def _posthog_event(event: Any) -> Any:
    if not isinstance(event, dict):
        return event
    properties: dict[str, Any] = event["properties"] if isinstance(event.get("properties"), dict) else {}
    kept = {k: v for k, v in properties.items() if not k.startswith("$") and k not in ("distinct_id", "alias")}
    found: dict[str, Any] = {
        "messageId": event.get("uuid"),
        "timestamp": event.get("timestamp"),
        "userId": event.get("distinct_id"),
        "context": {"library": {"name": properties.get("$lib"), "version": properties.get("$lib_version")}},
    }
    name = event.get("event")
    if name in ("$identify", "$set"):
        traits = event.get("$set") or properties.get("$set") or {}
        previous = properties.get("$anon_distinct_id")
        return found | {"type": "identify", "traits": traits} | ({"anonymousId": previous} if previous else {})
    if name == "$create_alias":
        # distinct_id is who was known before, alias the new id
        return found | {"type": "alias", "previousId": event.get("distinct_id"), "userId": properties.get("alias")}
    if name == "$groupidentify":
        group = {"type": "group", "groupId": properties.get("$group_key"), "traits": properties.get("$group_set")}
        return found | group | {"userId": None, "anonymousId": event.get("distinct_id")}
    if name == "$pageview":
        page = {"url": properties.get("$current_url"), "path": properties.get("$pathname")}
        return found | {"type": "page", "properties": {k: v for k, v in page.items() if v} | kept}
    return found | {"type": "track", "event": name, "properties": kept}


def _snowplow_event(event: Any) -> Any:
    if not isinstance(event, dict):
        return event
    kind = event.get("e")
    found: dict[str, Any] = {
        "type": _SNOWPLOW_TYPES.get(str(kind), kind),
        "messageId": event.get("eid"),
        "timestamp": _milliseconds(event.get("dtm")),
        "sentAt": _milliseconds(event.get("stm")),
        "userId": event.get("uid"),
        "anonymousId": event.get("duid") or event.get("nuid"),
        "context": {
            "library": {"name": "snowplow", "version": event.get("tv")},
            "app": {"name": event.get("aid")},
            "userAgent": event.get("ua"),
        },
    }
    if kind == "pv":
        page = {"url": event.get("url"), "title": event.get("page"), "referrer": event.get("refr")}
        return found | {"name": event.get("page"), "properties": {k: v for k, v in page.items() if v}}
    if kind == "se":
        names = {"se_ca": "category", "se_ac": "action", "se_la": "label", "se_pr": "property", "se_va": "value"}
        properties = {to: event[own] for own, to in names.items() if event.get(own) is not None}
        return found | {"event": event.get("se_ac"), "properties": properties}
    if kind == "ue":
        schema, data = _self_describing(event)
        return found | {"event": schema, "properties": data}
    return found | {"event": kind, "properties": {k: v for k, v in event.items() if k[:2] in ("tr", "ti")}}


def _self_describing(event: dict[str, Any]) -> tuple[str | None, Any]:
    """(name of the schema, data) of a self-describing event. Without them the event is set aside for want of a name."""
    text = event.get("ue_pr")
    try:
        if not text:
            packed = str(event.get("ue_px", ""))
            text = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        inner = orjson.loads(text)["data"]
        return inner["schema"].removeprefix("iglu:").split("/")[1], inner["data"]
    except (binascii.Error, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None, None


def _milliseconds(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdigit() and len(value) < 16 else value
