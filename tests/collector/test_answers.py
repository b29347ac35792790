"""What is refused and why, what browsers ask for before they send, keys of servers, and that nothing of a client is told on."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest

from tests.collector.running import Running, event, stored

ORIGIN = {"Origin": "https://shop.example"}

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
