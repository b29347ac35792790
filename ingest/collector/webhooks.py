"""Webhooks: deliveries that prove by a signature where they come from, and are taken once.

Shopify: shopify.dev/docs/apps/build/webhooks/subscribe/https (HMAC-SHA256 of the body, base64). The generic form signs
"<timestamp>.<body>" with HMAC-SHA256, in hex, as Stripe and many others do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from ingest.collector.bodies import Refused
from ingest.collector.events import arrival_times, parse_time
from ingest.collector.keys import Door
from ingest.collector.log import Record


@dataclass(frozen=True)
class Proof:
    """A delivery whose signature is right. A second one with the same id (sent again) or signature (copied) is passed over."""

    delivery: str
    signature: str
    topic: str | None


def verify_hmac(door: Door, headers: Mapping[bytes, bytes], body: bytes, now: datetime) -> Proof:
    """The proof of a delivery in the generic form. Raises Refused.

    X-Timestamp: seconds since 1970. X-Signature: sha256=<hex>. X-Delivery-Id and X-Topic are optional.
    """
    stamp, written = headers.get(b"x-timestamp", b""), headers.get(b"x-signature", b"")
    check_age(door, stamp, now)
    signature = written.removeprefix(b"sha256=").decode("ascii", "replace").lower()
    signed = stamp + b"." + body
    if not any(_equal(_digest(secret, signed).hex(), signature) for secret in door.secrets["secrets"]):
        raise Refused(401, "invalid_signature", "X-Signature is not that of X-Timestamp, a point and the body")
    delivery = headers.get(b"x-delivery-id", b"").decode("utf-8", "replace")[:200]
    topic = headers.get(b"x-topic", b"").decode("utf-8", "replace")[:200]
    return Proof(delivery or signature, signature, topic or None)


def verify_shopify(door: Door, headers: Mapping[bytes, bytes], body: bytes) -> Proof:
    """The proof of one of Shopify's deliveries. Raises Refused.

    Shopify signs no time: what keeps a copy from counting twice is its content, which says when it was updated.
    """
    signature = headers.get(b"x-shopify-hmac-sha256", b"").decode("ascii", "replace")
    digests = [base64.b64encode(_digest(secret, body)).decode() for secret in door.secrets["secrets"]]
    if not any(_equal(digest, signature) for digest in digests):
        raise Refused(401, "invalid_signature", "X-Shopify-Hmac-Sha256 is not that of the body")
    topic = headers.get(b"x-shopify-topic", b"").decode("utf-8", "replace")[:200]
    # the delivery id stands in a header that is not signed: a copy could be sent again under another one
    return Proof(f"{hashlib.sha256(body).hexdigest()[:32]}.{topic}", signature, topic or None)


def delivery_record(name: str, proof: Proof, payload: Any, received: datetime) -> Record:
    """The record of a delivery. Raises Refused when it cannot be written."""
    found = {
        "source": name,
        "messageId": proof.delivery,
        "signature": proof.signature,
        "topic": proof.topic,
        "receivedAt": arrival_times(received),
        "payload": payload,
    }
    try:
        body = orjson.dumps({key: value for key, value in found.items() if value is not None})
    except orjson.JSONEncodeError:
        raise Refused(400, "too_deep", "the body is nested too deeply") from None
    return b'"webhook":%b,' % orjson.dumps(name), body[1:]


def check_age(door: Door, stamp: bytes, now: datetime) -> None:
    """Raises Refused when a signed time (seconds since 1970) is too far from now."""
    moment = parse_time(int(stamp) * 1000) if stamp.isdigit() and len(stamp) < 13 else None
    tolerance = door.input.webhook.tolerance_seconds if door.input.webhook else 0
    if moment is None or abs((now - moment).total_seconds()) > tolerance:
        raise Refused(401, "stale_signature", "the signed time is missing or too far from now")


def _digest(secret: str, data: bytes) -> bytes:
    return hmac.digest(secret.encode(), data, "sha256")


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))
