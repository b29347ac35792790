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

from tests.collector.running import Running, by_id

SHARED = Path(os.environ.get("CDP_SHARED_DATA", "../shared/data"))
SPEC = SHARED / "segment_spec" / "segment_spec_examples.jsonl"
CAPTURES = SHARED.parent / "reference" / "captures"
ORIGIN = {"Origin": "https://shop.example"}


def event(**fields: Any) -> dict[str, Any]:
    """A track event with an id of its own."""
    return {"type": "track", "event": "Tried", "messageId": str(uuid4()), "userId": "u-1"} | fields


def stored(collector: Running, *ids: str) -> list[dict[str, Any]]:
    """The records of these message ids, in their order, each there once."""
    found = by_id([r for r in collector.records() if r["messageId"] in ids])
    return [found[i] for i in ids]


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


REFUSALS: list[tuple[str, bytes, str, int, str]] = [
    ("/v1/batch", b"{", "WRITE_KEY_1", 400, "invalid_json"),
    ("/v1/batch", b"", "WRITE_KEY_1", 400, "empty_body"),
    ("/v1/batch", b"[]", "WRITE_KEY_1", 400, "invalid_batch"),
    ("/v1/batch", b'{"batch":{}}', "WRITE_KEY_1", 400, "invalid_batch"),
    ("/v1/t", b"[1]", "WRITE_KEY_1", 400, "invalid_event"),
    ("/v1/batch", '{"batch":["é"]}'.encode("latin-1"), "WRITE_KEY_1", 400, "invalid_encoding"),
    ("/v1/batch", '{"batch":[]}'.encode("utf-16"), "WRITE_KEY_1", 400, "invalid_encoding"),
    ("/v1/batch", b'{"batch":[]}', "nobody", 401, "unknown_write_key"),
    ("/v1/batch", b'{"batch":[]}', "", 401, "unknown_write_key"),
    ("/v1/batch", gzip.compress(b'{"batch":[]}')[:-4], "WRITE_KEY_1", 400, "invalid_compression"),
    ("/v1/batch", b"\x1f\x8bjunk", "WRITE_KEY_1", 400, "invalid_compression"),
    ("/v1/batch", b'{"batch":[' + b"1," * 10_000 + b"1]}", "WRITE_KEY_1", 413, "too_many_events"),
    ("/v1/batch", b"[" * 100_000 + b"]" * 100_000, "WRITE_KEY_1", 400, "too_deep"),
    ("/v1/batch", b" " * (5 * 1024 * 1024 + 1), "WRITE_KEY_1", 413, "too_large"),
    ("/v1/batch", gzip.compress(b" " * 50_000_000), "WRITE_KEY_1", 413, "too_large"),
    ("/v1/nothing", b"{}", "WRITE_KEY_1", 404, "not_found"),
]


@pytest.mark.parametrize(
    ("path", "body", "key", "status", "code"), REFUSALS, ids=[f"{r[4]}-{n}" for n, r in enumerate(REFUSALS)]
)
def test_refusals_say_why(collector: Running, path: str, body: bytes, key: str, status: int, code: str) -> None:
    answer = collector.post(path, body, key=key, headers=ORIGIN)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "message"}
    assert path == "/v1/nothing" or answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]


def test_what_is_deep_or_wide_is_set_aside(collector: Running) -> None:
    deep: Any = 1
    for _ in range(70):
        deep = {"a": deep}
    wide = {f"k{n}": n for n in range(2001)}
    large = "x" * (512 * 1024)
    for properties, reason in (
        ({"d": deep}, "nested deeper"),
        (wide, "more than 2000 keys"),
        ({"t": large}, "larger than"),
    ):
        sent, good = event(properties=properties), event()
        assert collector.post("/v1/batch", {"batch": [sent, good]}).json() == {"success": True, "set_aside": 1}
        aside, kept = stored(collector, sent["messageId"], good["messageId"])
        assert reason in aside["rejected"]
        assert "rejected" not in kept


def test_a_body_of_four_mebibytes_is_taken(collector: Running) -> None:
    """RudderStack's Python SDK sends up to 4 MiB at a time."""
    batch = [event(properties={"text": "x" * 20_000}) for _ in range(200)]
    body = json.dumps({"batch": batch}).encode()
    assert 4_000_000 < len(body) < 5 * 1024**2
    assert collector.post("/v1/batch", gzip.compress(body, 1)).status_code == 200
    assert len(stored(collector, *(b["messageId"] for b in batch))) == 200


def test_pages_of_other_origins_may_send(collector: Running) -> None:
    for path in ("/v1/t", "/v1/batch", "/v1/b", "/sourceConfig/?writeKey=WK", "/v1/projects/WK/settings", "/v1/page"):
        asked = httpx.options(
            collector.url + path,
            headers=ORIGIN
            | {"Access-Control-Request-Headers": "authorization,x-retry-count,anonymousid,sentat,content-type"},
            trust_env=False,
        )
        assert asked.status_code == 200
        allowed = asked.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "content-type", "x-retry-count", "anonymousid", "sentat", "x-write-key"} <= set(
            allowed
        )
        assert "*" not in allowed, "the Fetch standard does not count authorization as covered by *"
        assert asked.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        assert int(asked.headers["access-control-max-age"]) > 0
    answer = collector.post("/v1/t", event(), headers=ORIGIN)
    assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]
    assert answer.headers["access-control-expose-headers"] == "Retry-After"


def test_settings_of_browser_sdks(collector: Running) -> None:
    found = httpx.get(f"{collector.url}/v1/projects/WK/settings", headers=ORIGIN, trust_env=False)
    assert found.json()["integrations"]["Segment.io"] == {
        "apiKey": "WK",
        "apiHost": f"127.0.0.1:{collector.port}/v1",
        "protocol": "http",
    }
    assert found.headers["access-control-allow-origin"] == ORIGIN["Origin"]
    rudder = httpx.get(f"{collector.url}/sourceConfig/?writeKey=WK", trust_env=False).json()
    assert rudder["source"]["writeKey"] == "WK"
    assert rudder["source"]["enabled"] is True
    for path in ("/v1/projects/nobody/settings", "/sourceConfig/?writeKey=nobody"):
        assert httpx.get(collector.url + path, trust_env=False).status_code == 401


def test_signed_keys_of_servers(collector: Running) -> None:
    from datetime import UTC, datetime, timedelta

    import jwt

    secrets = ("new-secret-0123456789012345678901234", "old-secret-0123456789012345678901234")
    moment = datetime.now(UTC)

    def send(secret: str, **claims: Any) -> httpx.Response:
        token = jwt.encode({"sub": "server", "exp": moment + timedelta(hours=1)} | claims, secret, algorithm="HS256")
        return collector.post("/v1/t", event(), key="", headers={"Authorization": f"Bearer {token}"})

    assert [send(secret).status_code for secret in secrets] == [200, 200]
    assert send(secrets[0], exp=moment - timedelta(hours=1)).json()["code"] == "expired_token"
    assert send("another-secret-01234567890123456789012").json()["code"] == "invalid_token"
    assert send(secrets[0], sub="web").json()["code"] == "invalid_token"
    unsigned = jwt.encode({"sub": "server", "exp": moment + timedelta(hours=1)}, "", algorithm="none")
    refused = collector.post("/v1/t", event(), key="", headers={"Authorization": f"Bearer {unsigned}"})
    assert refused.json()["code"] == "invalid_token"


def test_nothing_a_client_sent_stands_in_logs_metrics_or_answers(collector: Running) -> None:
    secret = "lena.secret@example.com"
    sent = [
        event(userId=secret, traits={"email": secret}),
        event(type=secret),
        event(event={"a": secret}),
        event(properties=[secret]),
    ]
    answers = [collector.post("/v1/batch", {"batch": [e]}).text for e in sent]
    answers.append(collector.post("/v1/batch", b'{"batch":[' + secret.encode()).text)
    answers.append(collector.post(f"/v1/{secret}", b"{}").text)
    answers.append(collector.post("/v1/t", event(), key=secret).text)
    answers.append(httpx.get(collector.url + "/metrics", trust_env=False).text)
    assert not [a for a in answers if secret in a]
    assert not [line for line in collector.errors if secret in line]
