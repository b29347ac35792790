"""Whatever is sent: the collector stays up, answers as documented, keeps its memory bounded, and goes on taking events."""

from __future__ import annotations

import gzip
import json
import os
import socket
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from ingest.collector.addresses import ADDRESSES
from tests.collector.running import Running

EXAMPLES = int(os.environ.get("CDP_COLLECTOR_EXAMPLES", "40"))
SEED = int(os.environ.get("CDP_COLLECTOR_SEED", "6"))
ANSWERS = {200, 400, 401, 403, 408, 413, 415, 429, 431, 503}

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["\ud800", "\0", "track"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)
FIELDS = [
    *("type", "action", "event", "name", "messageId", "userId", "anonymousId", "groupId", "previousId", "timestamp"),
    *("originalTimestamp", "sentAt", "properties", "traits", "context", "writeKey", "sequence", "source", "extra"),
]
EVENTS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8).flatmap(
    lambda d: st.sampled_from([d, {"type": "track", "event": "E", "userId": "u"} | d])
)
BODIES = st.one_of(
    st.fixed_dictionaries({"batch": st.lists(st.one_of(EVENTS, VALUES), max_size=5)}, optional={"sentAt": VALUES}),
    st.fixed_dictionaries({"data": st.lists(VALUES, max_size=3)}),
    EVENTS,
    VALUES,
)


def resident_mb(collector: Running) -> float:
    """Memory of the process."""
    assert collector.process
    text = Path(f"/proc/{collector.process.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def is_alive(collector: Running) -> None:
    """A good event is still taken."""
    sent = {"type": "track", "event": "Alive", "messageId": str(uuid4()), "userId": "u"}
    assert collector.post("/v1/t", sent).json() == {"success": True}
    assert [r for r in collector.records() if r["messageId"] == sent["messageId"]]


def test_any_json_is_answered_and_what_is_told_is_true(collector: Running) -> None:
    """Every event of an accepted batch is stored or set aside: the counts agree."""
    print(f"seed={SEED} examples={EXAMPLES}")
    with httpx.Client(base_url=collector.url, auth=("WRITE_KEY_1", ""), trust_env=False, timeout=30) as client:

        @seed(SEED)
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(body=BODIES, path=st.sampled_from(sorted(ADDRESSES)))
        def send(body: Any, path: str) -> None:
            before = collector.metric("cdp_collector_log_records")
            answer = client.post(path, content=json.dumps(body).encode("utf-8", "surrogatepass"))
            assert answer.status_code in ANSWERS, answer.text
            document = answer.json()
            stored = collector.metric("cdp_collector_log_records") - before
            if answer.status_code == 200:
                assert document["success"] is True
                is_single = ADDRESSES[path][1] is not None
                count = 1 if is_single else len(body.get("data" if path.endswith("tp2") else "batch"))
                assert document.get("set_aside", 0) <= stored <= count
            else:
                assert set(document) == {"code", "message"}

        send()
    is_alive(collector)


def test_any_bytes_are_answered(collector: Running) -> None:
    with httpx.Client(base_url=collector.url, trust_env=False, timeout=30) as client:

        @seed(SEED)
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(
            body=st.binary(max_size=200),
            packing=st.sampled_from([bytes, gzip.compress, zlib.compress]),
            encoding=st.sampled_from(["", "gzip", "deflate", "br", "x"]),
            key=st.one_of(
                st.sampled_from(["Basic V1JJVEVfS0VZXzE6", "Bearer x.y.z", "Basic ???", "Basic"]), st.just("")
            ),
            path=st.sampled_from([*sorted(ADDRESSES), "/v1/webhook/wecom", "/v1/webhook/hooks", "/v1/webhook/shopify"]),
        )
        def send(body: bytes, packing: Callable[[bytes], bytes], encoding: str, key: str, path: str) -> None:
            headers = {"Authorization": key, "Content-Encoding": encoding}
            answer = client.post(path, content=packing(body), headers=headers)
            assert answer.status_code in ANSWERS, answer.text
            assert answer.status_code == 200 or set(answer.json()) == {"code", "message"}

        send()
    is_alive(collector)


def test_memory_stays_bounded_under_bombs(collector: Running) -> None:
    bomb = gzip.compress(b'{"batch":[' + b"0," * 100_000_000 + b"0]}", 9)
    assert len(bomb) < 250_000
    deep = b'{"batch":[' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}"
    keys = orjson.dumps({"batch": [{"type": "track", "event": "E", "properties": {f"k{n}": n for n in range(20_000)}}]})
    numbers = b'{"batch":[{"type":"track","event":"E","userId":' + b"9" * 100_000 + b"}]}"
    is_alive(collector)
    before = resident_mb(collector)
    for _ in range(5):
        assert collector.post("/v1/batch", bomb).json()["code"] == "too_large"
        assert collector.post("/v1/batch", deep).json()["code"] in ("too_deep", "invalid_json")
        assert "2000 keys" in collector.post("/v1/batch", keys).json()["message"]
        assert collector.post("/v1/batch", numbers).status_code in (200, 400)
    assert resident_mb(collector) - before < 150
    is_alive(collector)


def raw(collector: Running, data: bytes = b"") -> socket.socket:
    """A bare connection on which `data` was sent."""
    connection = socket.create_connection(("127.0.0.1", collector.port), timeout=60)
    connection.sendall(data)
    return connection


def test_slow_clients_are_cut_off(own_collector: Callable[..., Running]) -> None:
    """Without an end of the headers, with a body that drips, with nothing at all: the connection is closed, others are served."""
    collector = own_collector(CDP_COLLECTOR_SLOW_SECONDS="4")
    head = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Basic V1JJVEVfS0VZXzE6\r\n"
    silent, headless = raw(collector), raw(collector, head)
    bodiless = raw(collector, head + b"Content-Length: 100\r\n\r\n{")
    dripping = raw(collector, head + b"Content-Length: 100000\r\n\r\n")
    ended: set[str] = set()
    deadline = time.monotonic() + 60
    dripping.settimeout(0.2)
    while time.monotonic() < deadline and "dripping" not in ended:
        try:
            dripping.sendall(b" ")
            if dripping.recv(1000) == b"":
                ended.add("dripping")
        except TimeoutError:
            continue
        except OSError:
            ended.add("dripping")
    is_alive(collector)
    answers = [connection.recv(10_000) for connection in (silent, headless, bodiless)]
    assert ended == {"dripping"}
    assert answers[:2] == [b"", b""]
    assert b"408" in answers[2].split(b"\r\n")[0]
    for connection in (silent, headless, bodiless, dripping):
        connection.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xff" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/batch HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/batch HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/batch HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
        b"GET /%ff%00/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nOrigin: \xff\r\n\r\n",
        b'GET /v1/projects/WK/settings HTTP/1.1\r\nHost: evil.example/"><script>\r\n\r\n',
    ],
)
def test_what_is_hardly_http(collector: Running, data: bytes) -> None:
    with raw(collector, data) as connection:
        connection.settimeout(60)
        answer = b""
        try:
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(10_000):
                answer += chunk
        except OSError:
            pass
    assert b"Traceback" not in answer
    assert b"<script>" not in answer
    is_alive(collector)


def test_a_client_that_goes_away_leaves_nothing(collector: Running) -> None:
    for _ in range(20):
        connection = raw(collector, b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    is_alive(collector)


def test_too_many_connections(own_collector: Callable[..., Running]) -> None:
    collector = own_collector(CDP_COLLECTOR_CONNECTIONS="5")
    held = [raw(collector, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(5)]
    assert all(b"200 OK" in connection.recv(1000) for connection in held)
    answer = httpx.get(collector.url + "/health", trust_env=False)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (
        503,
        "too_many_connections",
        "1",
    )
    for connection in held:
        connection.close()
    deadline = time.monotonic() + 30
    while httpx.get(collector.url + "/health", trust_env=False).status_code != 200:
        assert time.monotonic() < deadline


def test_many_large_requests_at_a_time_are_held_off(own_collector: Callable[..., Running]) -> None:
    collector = own_collector(CDP_COLLECTOR_QUEUE_MB="6")
    head = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Basic V1JJVEVfS0VZXzE6\r\nContent-Length: 4000000\r\n\r\n"
    half = [raw(collector, head + b" " * 3_900_000) for _ in range(3)]
    refused = 0
    for connection in half:
        connection.settimeout(5)
        try:
            answer = connection.recv(1000)
        except TimeoutError:
            continue
        assert b"429" in answer.split(b"\r\n")[0]
        assert b"retry-after: 1" in answer
        refused += 1
    assert refused >= 1
    for connection in half:
        connection.close()
    is_alive(collector)


def test_keys_are_rotated_while_it_runs(own_collector: Callable[..., Running], tmp_path: Path) -> None:
    import signal

    from tests.site import Site

    site = Site.make(tmp_path / "site")
    collector = own_collector(CDP_PROJECT_ROOT=str(site.root))
    path = site.root / "ingest" / "collector" / "inputs" / "web.yml"
    text = path.read_text(encoding="utf-8")
    sent = {"event": "E", "userId": "u"}
    assert collector.post("/v1/t", sent, headers={"Origin": "https://other.example"}).status_code == 200
    assert collector.process

    def changed(new: str, status: int, origin: str, event: dict[str, Any]) -> None:
        path.write_text(new, encoding="utf-8")
        collector.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
        deadline = time.monotonic() + 30
        while collector.post("/v1/t", event, headers={"Origin": origin}).status_code != status:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    only = text + 'origins: ["https://shop.example", "https://*.shop.example"]\n'
    changed(only, 403, "https://other.example", sent)
    changed(only, 200, "https://cn.shop.example", sent)
    changed(only + "types: [identify]\n", 400, "https://shop.example", sent)
    path.write_text("name: [broken", encoding="utf-8")
    collector.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 30
    while not any("stay as they were" in line for line in collector.errors):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert collector.post("/v1/i", {"userId": "u"}, headers={"Origin": "https://shop.example"}).status_code == 200
