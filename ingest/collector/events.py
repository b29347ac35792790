"""One event of Segment's spec, as any SDK sends it, becomes one record of the log.

Rules and traps of the clients: https://segment.com/docs/connections/spec/common, and what the SDKs of Segment and
RudderStack were seen to send (traits in `traits` or in `context.traits`, `timestamp` or `originalTimestamp`, ids that are
numbers, `action` and `user_id` of the oldest libraries).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson

from ingest.collector.log import Record

TYPES = ("track", "identify", "page", "screen", "group", "alias")
MAX_ID = 512
MAX_NAME = 1024
MAX_DEPTH = 64
MAX_KEYS = 2000
_OWN = frozenset(
    (
        *("type", "action", "messageId", "message_id", "event", "name", "category", "properties", "traits", "context"),
        *("userId", "user_id", "anonymousId", "anonymous_id", "groupId", "group_id", "previousId", "previous_id"),
        *("timestamp", "originalTimestamp", "sentAt", "receivedAt", "channel", "integrations", "writeKey"),
        *("sequence", "source", "extra", "violations"),
    )
)

# keys of a record that are ours alone, whatever an event calls its own
_HEADS = frozenset(("sequence", "rejected", "webhook", "signature"))


class Unusable(Exception):
    """An event that cannot be used; the text says why, without its values."""


# (event, input) -> which rules of the tracking plan it breaks
Validator = Callable[[dict[str, Any], str], list[dict[str, Any]]]


@dataclass(frozen=True)
class Arrival:
    """How events came: by which input, when, and when the client says it sent them."""

    source: str
    channel: str
    types: frozenset[str]
    received: datetime
    received_at: str
    sent_at: datetime | None
    max_bytes: int
    validator: Validator | None = None


def record_of(event: Any, arrival: Arrival, type_: str | None = None) -> tuple[str, Record, str, int]:
    """(key in `Seen`, record, type, how many rules of the tracking plan it breaks). `type_`: what the address said.

    Raises Unusable. `timestamp` is corrected by how wrong the client's clock is: receivedAt - (sentAt -
    originalTimestamp), as in Segment's spec.
    """
    found, message_id = normalised(event, arrival, type_)
    broken = 0
    if arrival.validator:
        violations = arrival.validator(found, arrival.source)
        if violations:
            found["violations"] = violations
            broken = len(violations)
    try:
        body = orjson.dumps(found)
    except orjson.JSONEncodeError:
        raise Unusable(f"the event is nested deeper than {MAX_DEPTH}") from None
    if len(body) > arrival.max_bytes:
        raise Unusable(f"the event is larger than {arrival.max_bytes // 1024} KiB")
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH or body.count(b'":') > MAX_KEYS:
        check_shape(found)
    return f"{arrival.source} {message_id}", (b"", body[1:]), found["type"], broken


def normalised(event: Any, arrival: Arrival, type_: str | None = None) -> tuple[dict[str, Any], str]:
    """(the event under our names, its message id). Raises Unusable."""
    if not isinstance(event, dict):
        raise Unusable("the event is not an object")
    get = event.get
    kind = type_ or get("type") or get("action")
    if kind not in TYPES:
        raise Unusable("type: is not one of " + ", ".join(TYPES))
    if kind not in arrival.types:
        raise Unusable(f"type: {kind} events are not taken from {arrival.source}")
    message_id = _text(event, "messageId", "message_id") or str(uuid4())
    user, anonymous = _text(event, "userId", "user_id"), _text(event, "anonymousId", "anonymous_id")
    group, previous = _text(event, "groupId", "group_id"), _text(event, "previousId", "previous_id")
    name = _name(event, "event")
    if kind == "track" and not name:
        raise Unusable("event: a track event needs a name")
    if kind == "group" and not group:
        raise Unusable("groupId: a group event needs it")
    if kind == "alias" and not previous:
        raise Unusable("previousId: an alias event needs it")
    context = _object(event, "context")
    traits = _object(event, "traits")
    if not traits and context and kind in ("identify", "group") and isinstance(context.get("traits"), dict):
        traits = context["traits"]
    written, original = get("timestamp"), get("originalTimestamp")
    happened = _time(original or written)
    sent = _time(get("sentAt")) or arrival.sent_at
    found: dict[str, Any] = {
        "messageId": message_id,
        "type": kind,
        "source": arrival.source,
        "channel": arrival.channel,
        "timestamp": _happened_at(_time(written) if original else None, happened, sent, arrival),
        "receivedAt": arrival.received_at,
    }
    if happened:
        found["originalTimestamp"] = _iso(happened)
    if sent:
        found["sentAt"] = _iso(sent)
    optional = (
        ("event", name),
        ("name", _name(event, "name")),
        ("category", _name(event, "category")),
        ("userId", user),
        ("anonymousId", anonymous),
        ("groupId", group),
        ("previousId", previous),
        ("properties", _object(event, "properties")),
        ("traits", traits),
        ("context", context),
        ("integrations", get("integrations")),
    )
    for key, value in optional:
        if value is not None:
            found[key] = value
    extra = {key: value for key, value in event.items() if key not in _OWN}
    if (original or written) and not happened:
        extra["timestamp"] = original or written  # not a time: kept as it came, and the time of arrival stands in
    if extra:
        found["extra"] = extra
    return found, message_id


def rejection(event: Any, reason: str, arrival: Arrival) -> tuple[str, Record]:
    """(key in `Seen`, record) of an event that cannot be used: as it came, with what it needs to be read once mended."""
    own: dict[str, Any] = {"source": arrival.source, "channel": arrival.channel, "receivedAt": arrival.received_at}
    if isinstance(event, dict):
        kept = {key: value for key, value in event.items() if key not in _HEADS}
        own = {"timestamp": arrival.received_at} | kept | own
        if not isinstance(event.get("messageId"), str) or len(event["messageId"]) > MAX_ID:
            own["messageId"] = str(uuid4())
    else:
        own |= {"messageId": str(uuid4()), "event": event}
    body = _dumped(own)
    if body is None or len(body) > arrival.max_bytes:
        short = {k: v for k, v in own.items() if isinstance(v, str | int) and len(str(v)) < MAX_ID and len(k) < MAX_ID}
        body = orjson.dumps({**dict(list(short.items())[:MAX_DEPTH]), "messageId": own["messageId"]})
        reason += "; only its short fields are kept"
    return f"{arrival.source} !{own['messageId']}", (b'"rejected":%b,' % orjson.dumps(reason), body[1:])


def arrival_times(received: datetime) -> str:
    """A time as records hold it: UTC, milliseconds."""
    return _iso(received)


def check_shape(value: Any) -> None:
    """Raises Unusable for what is nested too deeply or has too many keys. Iterative: it is for hostile input."""
    keys, stack = 0, [(value, 1)]
    while stack:
        found, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise Unusable(f"the event is nested deeper than {MAX_DEPTH}")
        if isinstance(found, dict):
            keys += len(found)
            if keys > MAX_KEYS:
                raise Unusable(f"the event has more than {MAX_KEYS} keys")
            stack += [(v, depth + 1) for v in found.values() if isinstance(v, dict | list)]
        elif isinstance(found, list):
            stack += [(v, depth + 1) for v in found if isinstance(v, dict | list)]


def parse_time(value: Any) -> datetime | None:
    """An ISO 8601 text, or milliseconds since 1970, as a time in UTC; None for anything else."""
    return _time(value)


def _dumped(value: Any) -> bytes | None:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None


def _text(event: Mapping[str, Any], key: str, older: str) -> str | None:
    value = event.get(key)
    if value is None:
        value = event.get(older)
        if value is None:
            return None
    if type(value) is int:
        value = str(value)
    elif type(value) is not str:
        raise Unusable(f"{key}: is neither text nor a whole number of up to 64 bits")
    if len(value) > MAX_ID:
        raise Unusable(f"{key}: is longer than {MAX_ID} characters")
    return value.strip() or None


def _name(event: Mapping[str, Any], key: str) -> str | None:
    value = event.get(key)
    if value is None or value == "":
        return None
    if type(value) is not str:
        if isinstance(value, dict | list):
            raise Unusable(f"{key}: is not text")
        value = str(value)
    if len(value) > MAX_NAME:
        raise Unusable(f"{key}: is longer than {MAX_NAME} characters")
    return str(value)


def _object(event: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    value = event.get(key)
    if value is None or type(value) is dict:
        return value
    raise Unusable(f"{key}: is not an object")


def _time(value: Any) -> datetime | None:
    try:
        if type(value) is str:
            found = datetime.fromisoformat(value)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        if type(value) is int or type(value) is float:
            return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _happened_at(stated: datetime | None, happened: datetime | None, sent: datetime | None, arrival: Arrival) -> str:
    """The time of the event. `stated`: by the caller, beside the client's own clock (RudderStack's SDKs); it is not corrected."""
    if stated:
        return _iso(stated)
    if happened is None:
        return arrival.received_at
    try:
        return _iso(happened if sent is None else arrival.received - max(sent - happened, timedelta(0)))
    except OverflowError:
        return _iso(happened)


def _iso(moment: datetime) -> str:
    try:
        if moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC)
    except OverflowError:
        moment = moment.replace(tzinfo=UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"
