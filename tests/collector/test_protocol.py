"""What SDKs send is taken as they send it, and answered so that they do what is right.

The rules come from running the real SDKs; the payloads are those of Segment's documentation, the captures those of the SDKs.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import zlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.collector.running import Running, by_id, event, stored

SHARED = Path(os.environ.get("CDP_SHARED_DATA", "../shared/data"))
SPEC = SHARED / "segment_spec" / "segment_spec_examples.jsonl"
CAPTURES = SHARED.parent / "reference" / "captures"


@pytest.mark.skipif(not SPEC.exists(), reason="needs the payloads of Segment's spec (CDP_SHARED_DATA)")
def test_every_payload_of_the_spec_is_taken(collector: Running) -> None:
    payloads = [json.loads(line)["payload"] for line in SPEC.read_text(encoding="utf-8").splitlines()]
    assert len(payloads) == 75
    batch = [payload | {"messageId": f"spec-{number}"} for number, payload in enumerate(payloads)]
    answer = collector.post("/v1/batch", {"batch": batch})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    found = stored(collector, *(b["messageId"] for b in batch))
    for payload, record in zip(payloads, found, strict=True):
        assert record["type"] == (payload.get("type") or payload["action"])
        assert record.get("userId") == (payload.get("userId") or payload.get("user_id"))
        for name in ("event", "anonymousId", "groupId", "previousId", "properties"):
            assert record.get(name) == payload.get(name), name


@pytest.mark.skipif(not CAPTURES.exists(), reason="needs the captures of the SDKs (CDP_SHARED_DATA)")
@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.json")) if CAPTURES.exists() else [], ids=lambda p: p.stem)
def test_every_capture_of_an_sdk_is_taken(collector: Running, path: Path) -> None:
    """Requests are sent again byte for byte as far as the capture has them; each of their events is stored once."""
    sent: list[str] = []
    for request in json.loads(path.read_text(encoding="utf-8")):
        headers = [(n, v) for n, v in request["headers"] if n.lower() not in ("host", "content-length", "connection")]
        body = request.get("body")
        content = b"" if body in (None, "") else json.dumps(body).encode()
        if request.get("is_gzip"):
            content = gzip.compress(content)
        answer = httpx.request(
            request["method"], collector.url + request["path"], headers=headers, content=content, trust_env=False
        )
        assert answer.status_code == 200, (request["path"], answer.text)
        if request["method"] == "POST":
            events = body.get("batch") or body.get("data") or [body]
            sent += [e.get("messageId") or e.get("uuid") or e["eid"] for e in events]
    assert set(stored_ids(collector)) >= set(sent)
    by_id([r for r in collector.records() if r["messageId"] in sent])


def stored_ids(collector: Running) -> list[str]:
    """All message ids in the log."""
    return [r["messageId"] for r in collector.records()]


@pytest.mark.parametrize(
    ("path", "type_"),
    [(f"/v1/{name}", name) for name in ("track", "identify", "page", "screen", "group", "alias")]
    + [(f"/v1/{name[0]}", name) for name in ("track", "identify", "page", "screen", "group", "alias")],
)
def test_the_address_says_the_type(collector: Running, path: str, type_: str) -> None:
    sent = event(groupId="g", previousId="p")
    del sent["type"]
    assert collector.post(path, sent).status_code == 200
    assert stored(collector, sent["messageId"])[0]["type"] == type_


PLACES = {
    "basic": ({}, {"headers": {"Authorization": "Basic " + base64.b64encode(b"WRITE_KEY_2:").decode()}}, ""),
    "body": ({"writeKey": "WRITE_KEY_2"}, {}, ""),
    "address": ({}, {}, "?writeKey=WRITE_KEY_2"),
    "header": ({}, {"headers": {"X-Write-Key": "WRITE_KEY_2:secret"}}, ""),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_key_may_stand_in_four_places(collector: Running, place: str) -> None:
    fields, options, query = PLACES[place]
    one, two = event(), event()
    assert collector.post("/v1/batch" + query, {"batch": [one], **fields}, key="", **options).status_code == 200
    assert collector.post("/v1/t" + query, two | fields, key="", **options).status_code == 200
    assert all("writeKey" not in r.get("extra", {}) for r in stored(collector, one["messageId"], two["messageId"]))


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize("packing", ["plain", "gzip", "gzip unsaid", "deflate", "raw deflate", "said and not done"])
def test_what_the_content_type_says_is_not_believed(collector: Running, content_type: str, packing: str) -> None:
    sent = event(properties={"名": "条码"})
    plain = json.dumps({"batch": [sent]}).encode()
    raw = zlib.compressobj(wbits=-15)
    bodies = {
        "gzip": (gzip.compress(plain), "gzip"),
        "gzip unsaid": (gzip.compress(plain), ""),
        "deflate": (zlib.compress(plain), "deflate"),
        "raw deflate": (raw.compress(plain) + raw.flush(), "deflate"),
        "said and not done": (plain, "gzip"),
        "plain": (plain, ""),
    }
    body, encoding = bodies[packing]
    headers = {"Content-Type": content_type} | ({"Content-Encoding": encoding} if encoding else {})
    assert collector.post("/v1/batch", body, headers=headers).status_code == 200
    assert stored(collector, sent["messageId"])[0]["properties"] == {"名": "条码"}


def test_one_bad_event_does_not_cost_the_batch(collector: Running) -> None:
    good, bad = event(), event(type="purchase", properties={"email": "lena@example.com"})
    answer = collector.post("/v1/batch", {"batch": [bad, good, "text", None, 7]})
    assert (answer.status_code, answer.json()) == (200, {"success": True, "set_aside": 4})
    kept, aside = stored(collector, good["messageId"], bad["messageId"])
    assert "rejected" not in kept
    assert aside["rejected"].startswith("type: is not one of")
    assert aside["properties"] == bad["properties"]
    alone = collector.post("/v1/batch", {"batch": [event(type="purchase")]})
    assert alone.status_code == 400


BAD_EVENTS: list[tuple[dict[str, Any], str]] = [
    ({"userId": {"id": 1}}, "userId: is neither text nor a whole number"),
    ({"userId": 1.5}, "userId: is neither text nor a whole number"),
    ({"userId": True}, "userId: is neither text nor a whole number"),
    ({"userId": "x" * 513}, "userId: is longer than"),
    ({"messageId": ["m"]}, "messageId: is neither"),
    ({"event": ""}, "event: a track event needs a name"),
    ({"event": {"a": 1}}, "event: is not text"),
    ({"properties": [1]}, "properties: is not an object"),
    ({"context": "text"}, "context: is not an object"),
    ({"type": "group", "groupId": None}, "groupId: a group event needs it"),
    ({"type": "alias"}, "previousId: an alias event needs it"),
]


@pytest.mark.parametrize(("fields", "reason"), BAD_EVENTS, ids=[reason for _, reason in BAD_EVENTS])
def test_an_event_that_cannot_be_used_is_told_and_kept(collector: Running, fields: dict[str, Any], reason: str) -> None:
    mark = str(uuid4())
    answer = collector.post("/v1/batch", {"batch": [event(**{"integrations": {"mark": mark}} | fields)]})
    assert answer.status_code == 400
    assert set(answer.json()) == {"code", "message"}, "RudderStack's Python SDK fails on other errors and retries them"
    assert answer.json()["message"].startswith(reason)
    (kept,) = [r for r in collector.records() if r.get("integrations") == {"mark": mark}]
    assert kept["rejected"].startswith(reason)


def test_what_is_sent_again_is_stored_once(collector: Running) -> None:
    sent = [event() for _ in range(3)]
    before = collector.metric("cdp_collector_duplicates_total")
    for _ in range(3):
        assert collector.post("/v1/batch", {"batch": [*sent, sent[0]]}).json() == {"success": True}
    assert collector.post("/v1/t", sent[1]).status_code == 200
    stored(collector, *(s["messageId"] for s in sent))
    assert collector.metric("cdp_collector_duplicates_total") - before == 10


def test_ids_may_be_numbers_or_null(collector: Running) -> None:
    sent = event(userId=9007199254740993, anonymousId=None, timestamp=None, properties=None)
    assert collector.post("/v1/t", sent).status_code == 200
    record = stored(collector, sent["messageId"])[0]
    assert record["userId"] == "9007199254740993"
    assert "anonymousId" not in record


def test_traits_may_stand_in_the_context(collector: Running) -> None:
    traits = {"email": "lena@example.com"}
    one = event(type="identify", context={"traits": traits})
    two = event(type="identify", traits={"email": "b@example.com"}, context={"traits": traits})
    track = event(context={"traits": traits})
    assert collector.post("/v1/batch", {"batch": [one, two, track]}).status_code == 200
    found = stored(collector, *(e["messageId"] for e in (one, two, track)))
    assert [r.get("traits") for r in found] == [traits, {"email": "b@example.com"}, None]
    assert found[2]["context"] == {"traits": traits}


def test_time_is_corrected_by_the_clients_clock(collector: Running) -> None:
    """receivedAt - (sentAt - originalTimestamp), https://segment.com/docs/connections/spec/common/#timestamps."""
    from datetime import datetime, timedelta

    sent = event(timestamp="2031-01-01T08:00:00.000+08:00")
    assert collector.post("/v1/batch", {"batch": [sent], "sentAt": "2031-01-01T00:00:30Z"}).status_code == 200
    record = stored(collector, sent["messageId"])[0]
    moments = {k: datetime.fromisoformat(record[k]) for k in ("timestamp", "receivedAt", "originalTimestamp", "sentAt")}
    assert moments["receivedAt"] - moments["timestamp"] == timedelta(seconds=30)
    assert moments["originalTimestamp"].isoformat() == "2031-01-01T00:00:00+00:00"


def test_what_is_not_quite_json_is_mended(collector: Running) -> None:
    """Browsers send half an emoji as \\ud83d, Python's json NaN; neither is JSON by RFC 8259."""
    mark = str(uuid4())
    body = (
        '\ufeff{"batch":[{"type":"track","event":"Tried \\ud83d","messageId":"' + mark + '","userId":'
        '123456789012345678901234567890,"properties":{"a":NaN,"b":-Infinity,"c":1e999,"d":[1,"\\udc00x"]}}]}'
    ).encode()
    assert collector.post("/v1/batch", body).status_code == 200
    record = stored(collector, mark)[0]
    assert record["event"] == "Tried \ufffd"
    assert record["userId"] == "123456789012345678901234567890"
    assert record["properties"] == {"a": None, "b": None, "c": None, "d": [1, "\ufffdx"]}


def test_unknown_fields_are_kept(collector: Running) -> None:
    sent = event(_metadata={"nodeVersion": "20"}, version="1.1", sequence=-5, source="forged", receivedAt="1999-01-01")
    assert collector.post("/v1/t", sent).status_code == 200
    record = stored(collector, sent["messageId"])[0]
    assert record["extra"] == {"_metadata": {"nodeVersion": "20"}, "version": "1.1"}
    assert record["source"] == "web"
    assert record["sequence"] > 0
    assert record["receivedAt"] > "2020"
    forged = event(type="purchase", sequence={"a": 1}, rejected=[], webhook="shopify", source="forged")
    assert collector.post("/v1/batch", {"batch": [forged]}).status_code == 400
    aside = stored(collector, forged["messageId"])[0]
    assert aside["sequence"] > record["sequence"]
    assert aside["rejected"].startswith("type:")
    assert (aside["source"], "webhook" in aside) == ("web", False)
