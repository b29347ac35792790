"""HTTP/1.1 for batches, as a transport of httpx. A call by http.client takes 0.14 ms of processor time, by httpx 0.9 ms.

Connections are kept, one to a thread that is calling. An error before the request can have left is httpx's ConnectError,
ConnectTimeout or PoolTimeout; any later one is another httpx.TransportError, whose effect at the other side is unknown.
"""

from __future__ import annotations

import http.client
import select
import ssl
import threading
import urllib.request

import httpx

_DEFAULTS = {"accept": "*/*", "accept-encoding": "gzip, deflate", "user-agent": "tributary"}


def transport_for(url: httpx.URL, authorities: ssl.SSLContext, connections: int, timeout: float) -> httpx.BaseTransport:
    """A transport to one host; by the proxy that the environment names for it, httpx's own."""
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx.UnsupportedProtocol("an address begins with http:// or https://")
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(url.host):
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        return httpx.HTTPTransport(verify=authorities, limits=limits, proxy=proxy)
    return Wire(url, authorities, timeout)


class Wire(httpx.BaseTransport):
    """Connections to one host. Thread-safe."""

    def __init__(self, url: httpx.URL, authorities: ssl.SSLContext, timeout: float) -> None:
        self._url, self._authorities, self._timeout = url, authorities, timeout
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request and its whole answer. Raises httpx.TransportError."""
        connection = self._connection()
        pairs = {**_DEFAULTS, **request.headers}
        if any("\r" in value or "\n" in value for value in pairs.values()):
            raise httpx.LocalProtocolError("a header has a line break", request=request)
        headers = "".join(f"{name}: {value}\r\n" for name, value in pairs.items())
        head = f"{request.method} {request.url.raw_path.decode('ascii')} HTTP/1.1\r\n{headers}\r\n".encode("latin-1")
        answer = http.client.HTTPResponse(connection.sock, method=request.method)
        try:
            # In one piece: two would wake the other side twice.
            connection.sock.sendall(head + request.content)
            answer.begin()
            content = answer.read()
        except TimeoutError as error:
            connection.close()
            raise httpx.ReadTimeout(str(error), request=request) from error
        except OSError as error:
            connection.close()
            raise httpx.ReadError(str(error), request=request) from error
        except http.client.HTTPException as error:
            connection.close()
            raise httpx.RemoteProtocolError(type(error).__name__, request=request) from error
        except BaseException:
            # Half an answer may still be on its way: nobody must take it for his.
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        # The transfer encoding is gone with the reading; httpx undoes the content encoding.
        told = [(name, value) for name, value in answer.getheaders() if name.lower() != "transfer-encoding"]
        return httpx.Response(answer.status, headers=told, content=content, request=request)

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _connection(self) -> http.client.HTTPConnection:
        """One that is open: kept, if the other side has not closed it meanwhile, or new."""
        while True:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            if kept is None:
                return self._connected()
            if kept.sock is not None and not _has_something_to_say(kept.sock):
                return kept
            kept.close()

    def _connected(self) -> http.client.HTTPConnection:
        host, port = self._url.host, self._url.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._authorities)
            if self._url.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=self._timeout)
        )
        try:
            connection.connect()
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        return connection


def _has_something_to_say(sock: object) -> bool:
    """Between two requests a readable socket is one that the other side has closed."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)  # type: ignore[arg-type]
    return bool(poll.poll(0))
