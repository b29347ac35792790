"""The HTTP protocol with limits of time and size that uvicorn does not have: slow and endless clients are cut off."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 32 * 1024
_BODY = b'{"code":"too_many_connections","message":"try again shortly"}'
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def guarded(slow_seconds: float, connections: int) -> type[asyncio.Protocol]:
    """A protocol class: headers must be there within `slow_seconds`, a whole request within twice that, and no more than
    `connections` clients are let in."""

    class GuardedProtocol(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _header_bytes = 0
        _in_headers = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > connections:
                transport.write(_BUSY)
                transport.close()
                return
            self._watch(slow_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._in_headers:
                self._header_bytes += len(data)
                if self._header_bytes > HEADER_BYTES:
                    self._end(_LARGE)
                    return
            if not self.transport.is_closing():
                super().data_received(data)

        def on_message_begin(self) -> None:
            self._header_bytes, self._in_headers = 0, True
            self._unwatch()
            self._watch(slow_seconds)
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_headers = False
            self._unwatch()
            self._watch(2 * slow_seconds)
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._unwatch()
            super().on_message_complete()

        def _watch(self, seconds: float) -> None:
            self._timer = self.loop.call_later(seconds, self._end)

        def _unwatch(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _end(self, last_words: bytes = b"") -> None:
            if not self.transport.is_closing():
                if last_words:
                    self.transport.write(last_words)
                self.transport.close()

    return GuardedProtocol
