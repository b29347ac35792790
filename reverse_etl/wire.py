"""HTTP/1.1 for batches: sockets, and httptools (llhttp, the parser of Node.js) to read answers.

Connections are kept, one to a thread that is calling. An error before the request can have left is httpx's ConnectError,
ConnectTimeout or PoolTimeout; any later one is another httpx.TransportError, whose effect at the other side is unknown.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Mapping
from typing import Protocol

import httptools
import httpx

from reverse_etl.response import Response, Whole

_DEFAULTS = {"accept": "*/*", "accept-encoding": "gzip, deflate", "user-agent": "tributary"}
_MOST_AT_ONCE = 65_536


class Transport(Protocol):
    """To one host. Thread-safe."""

    def call(self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes) -> Response:
        """One request and its whole answer. Raises httpx.TransportError."""

    def close(self) -> None:
        """Hang up."""


def transport_for(
    url: httpx.URL, authorities: Callable[[], ssl.SSLContext], connections: int, timeout: float
) -> Transport:
    """To the host of an address, by the proxy that the environment names for it.

    `authorities`: the certificates that are trusted, asked for only where a connection is encrypted.
    """
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx.UnsupportedProtocol("an address begins with http:// or https://")
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(url.host):
        return ByHttpx(proxy, authorities(), connections, timeout)
    return Wire(url, authorities, timeout)


class ByHttpx:
    """By httpx's client, for what `Wire` does not do: proxies."""

    def __init__(self, proxy: str | None, authorities: ssl.SSLContext, connections: int, timeout: float) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = httpx.Client(verify=authorities, limits=limits, proxy=proxy, timeout=timeout)

    def call(self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes) -> Response:
        """One request and its whole answer. Raises httpx.TransportError."""
        sent = {name.lower(): value for name, value in headers.items()}
        return self._client.request(method, url, headers=sent, content=content)

    def close(self) -> None:
        """Hang up."""
        self._client.close()


class Wire:
    """Connections to one host, without a proxy."""

    def __init__(self, url: httpx.URL, authorities: Callable[[], ssl.SSLContext], timeout: float) -> None:
        self._url, self._authorities, self._timeout = url, authorities, timeout
        self._defaults = {**_DEFAULTS, "host": url.netloc.decode()}
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()

    def call(self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes) -> Response:
        """One request and its whole answer. Raises httpx.TransportError."""
        pairs = dict(self._defaults)
        if content or method in ("POST", "PUT", "PATCH"):
            pairs["content-length"] = str(len(content))
        pairs |= {name.lower(): value for name, value in headers.items()}
        lines = [f"{method} {url.raw_path.decode()} HTTP/1.1", *[f"{name}: {value}" for name, value in pairs.items()]]
        head = "\r\n".join([*lines, "\r\n"])
        if method == "HEAD" or head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1:
            raise httpx.LocalProtocolError("a line break within a header, or a method whose answer has no body")
        connection, answer = self._connection(), _Answer()
        try:
            # In one piece: two would wake the other side twice.
            connection.sendall(head.encode("latin-1") + content)
            while not answer.is_whole:
                answer.read(connection.recv(_MOST_AT_ONCE))
        except TimeoutError as error:
            connection.close()
            raise httpx.ReadTimeout(str(error)) from error
        except OSError as error:
            connection.close()
            raise httpx.ReadError(str(error)) from error
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            connection.close()
            raise httpx.RemoteProtocolError(type(error).__name__) from error
        except BaseException:
            # Half an answer may still be on its way: nobody must take it for his.
            connection.close()
            raise
        if answer.is_last:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        return Whole(answer.status, answer.headers, b"".join(answer.body))

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _connection(self) -> socket.socket:
        """One that is open: kept, if the other side has not closed it meanwhile, or new."""
        while True:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            if kept is None:
                return self._connected()
            if not _has_something_to_say(kept):
                return kept
            kept.close()

    def _connected(self) -> socket.socket:
        host, is_https = self._url.host, self._url.scheme == "https"
        try:
            connection = socket.create_connection((host, self._url.port or (443 if is_https else 80)), self._timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._authorities().wrap_socket(connection, server_hostname=host) if is_https else connection
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error


class _Answer:
    """What has been read of an answer; httptools calls its `on_` methods."""

    def __init__(self) -> None:
        self.status, self.is_whole, self.is_last = 0, False, False
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        # Neither a length nor chunks say where the body ends, so the end of the connection does.
        self._is_open_ended = True

    def read(self, told: bytes) -> None:
        """What came from the other side; nothing means that it has hung up."""
        if told:
            self._parser.feed_data(told)
        elif self.status and self._is_open_ended:
            self.is_whole = self.is_last = True
        else:
            raise httptools.HttpParserError("the connection was closed within the answer")

    def on_message_begin(self) -> None:
        # What follows a whole answer nobody has asked for: the connection is not used again.
        self.is_last = self.is_last or self.is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.is_whole:
            return
        lower = name.lower()
        if lower in (b"content-length", b"transfer-encoding"):
            self._is_open_ended = False
        # The transfer encoding is gone with the reading; httpx undoes the content encoding.
        if lower != b"transfer-encoding":
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if not self.is_whole:
            self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self.is_whole:
            self.body.append(body)

    def on_message_complete(self) -> None:
        if self.status < 200:
            # A word in between (100, 103): the answer is still to come.
            self.status, self.headers, self.body = 0, [], []
            return
        self.is_whole = True
        self.is_last = self.is_last or not self._parser.should_keep_alive()


def _has_something_to_say(connection: socket.socket) -> bool:
    """Between two requests a readable socket is one that the other side has closed."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
