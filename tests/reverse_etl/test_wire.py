"""The transport against a server that misbehaves: what certainly did not happen is told from what may have."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from reverse_etl.wire import Transport, Wire, transport_for

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket, int], bool]) -> Iterator[str]:
    """A server that reads a request and lets `answer(connection, number)` do the rest; False closes the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    numbers = iter(range(1, 1000))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while head := _read_request(connection):
                assert head.startswith(b"POST /in?a=1 HTTP/1.1")
                if not answer(connection, next(numbers)):
                    return

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def _read_request(connection: socket.socket) -> bytes:
    told = b""
    while b"\r\n\r\n" not in told:
        if not (more := connection.recv(65536)):
            return b""
        told += more
    head, _, body = told.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head


def call(wire: Transport, url: str) -> httpx.Response:
    return wire.call("POST", httpx.URL(f"{url}/in", params={"a": "1"}), {}, '{"x": "é"}'.encode())


def wired(url: str, timeout: float = 5.0) -> Wire:
    wire = transport_for(httpx.URL(url), httpx.create_ssl_context, 4, timeout)
    assert isinstance(wire, Wire)
    return wire


def test_answers_are_read_whole_and_connections_kept() -> None:
    packed = gzip.compress(b'{"results": []}')
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (packed[:7], packed[7:])) + b"0\r\n\r\n"
    seen: set[int] = set()

    def answer(connection: socket.socket, number: int) -> bool:
        seen.add(connection.fileno())
        head = b"HTTP/1.1 207 Multi-Status\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
        connection.sendall(head + chunks if number % 2 else OK)
        return True

    with answering(answer) as url:
        wire = wired(url)
        answers = [call(wire, url) for _ in range(4)]
        wire.close()
    assert [(each.status_code, each.json()) for each in answers] == [(207, {"results": []}), (200, {})] * 2
    assert len(seen) == 1


def test_a_connection_that_was_closed_meanwhile_is_not_used_again() -> None:
    closed = threading.Event()

    def answer(connection: socket.socket, number: int) -> bool:
        connection.sendall(OK)
        if number == 1:
            connection.shutdown(socket.SHUT_RDWR)
            closed.set()
        return number > 1

    with answering(answer) as url:
        wire = wired(url)
        assert call(wire, url).status_code == 200
        assert closed.wait(5)
        assert call(wire, url).status_code == 200


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", b"no http at all\r\n\r\n"])
def test_a_lost_or_broken_answer_is_no_connect_error(part: bytes) -> None:
    """The request may have been carried out."""

    def answer(connection: socket.socket, number: int) -> bool:
        connection.sendall(part)
        return False

    with answering(answer) as url, pytest.raises(httpx.TransportError) as told:
        call(wired(url), url)
    assert not isinstance(told.value, httpx.ConnectError | httpx.ConnectTimeout)


def test_silence_is_a_timeout_and_no_server_is_a_connect_error() -> None:
    over = threading.Event()

    def answer(connection: socket.socket, number: int) -> bool:
        return over.wait(10) and False

    with answering(answer) as url:
        with pytest.raises(httpx.ReadTimeout):
            call(wired(url, 0.2), url)
        over.set()
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        gone = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(httpx.ConnectError):
        call(wired(gone), gone)


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "here.example")
    authorities = httpx.create_ssl_context
    assert not isinstance(transport_for(httpx.URL("http://there.example"), authorities, 4, 5.0), Wire)
    assert isinstance(transport_for(httpx.URL("http://here.example"), authorities, 4, 5.0), Wire)
    with pytest.raises(httpx.UnsupportedProtocol):
        transport_for(httpx.URL("there.example"), authorities, 4, 5.0)
