"""The client of the collector's benchmark, a process of its own: 16 kept-alive connections that wait for every answer.

python -m benchmarks._collector_client PORT SECONDS BATCH NAME RATE
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from dataclasses import dataclass, field
from typing import Any

CONNECTIONS = 16
EVENT = (
    b'{"type":"track","event":"Product Viewed","messageId":"%b-%08d","anonymousId":"4b8e5e0c-8c1f-4a53-b4b6-%012d",'
    b'"userId":"u_%06d","timestamp":"2026-03-01T10:00:00.000Z","properties":{"product_id":"LMP-12","price":19.9,'
    b'"currency":"EUR","path":"/p/12","url":"https://shop.lumen.example/p/12","title":"Lamp 12"},"context":{"ip":'
    b'"203.0.113.7","userAgent":"Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0","locale":"de-DE","page":{"path":"/p/12",'
    b'"url":"https://shop.lumen.example/p/12"},"library":{"name":"analytics.js","version":"next-1.84.3"}},"integrations":{}}'
)
HEAD = (
    b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic YmVuY2g6\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)


@dataclass
class Told:
    """What the client saw: events acknowledged, other answers, and seconds of each answer."""

    acknowledged: int = 0
    others: int = 0
    seconds: list[float] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    """One request at a time; the answers are small and come in one piece, or are put together."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[int] | None = None
        self._read = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, separator, body = self._read.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if separator and len(body) >= int(length or 0) and self.answer:
            self._read = b""
            answer, self.answer = self.answer, None
            answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer and not self.answer.done():
            self.answer.set_result(0)

    async def post(self, request: bytes) -> int:
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


async def send(port: int, seconds: float, batch: int, name: str, rate: float = 0) -> Told:
    """Send for some seconds over all connections: as fast as answers come, or at `rate` requests a second in all, due at
    fixed times, so that a late answer counts as late for what waits behind it."""
    loop, told, numbers = asyncio.get_running_loop(), Told(), iter(range(10**9))
    connections = [(await loop.create_connection(_Connection, "127.0.0.1", port))[1] for _ in range(CONNECTIONS)]
    started = loop.time()

    async def work(connection: _Connection, index: int) -> None:
        turn = 0
        while True:
            due = started + (turn * CONNECTIONS + index) / rate if rate else loop.time()
            if due - started >= seconds:
                return
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            events = [
                EVENT % (name.encode(), n, n % 200_000, n % 50_000) for n in (next(numbers) for _ in range(batch))
            ]
            body = b'{"batch":[' + b",".join(events) + b"]}" if batch > 1 else events[0]
            path = b"/v1/batch" if batch > 1 else b"/v1/track"
            begun = due if rate else loop.time()
            if connection.transport.is_closing():
                connection = (await loop.create_connection(_Connection, "127.0.0.1", port))[1]
            status = await connection.post(HEAD % (path, len(body)) + body)
            told.seconds.append(loop.time() - begun)
            told.acknowledged += batch if status == 200 else 0
            told.others += status != 200
            turn += 1

    await asyncio.gather(*(work(c, i) for i, c in enumerate(connections)))
    for connection in connections:
        connection.transport.close()
    return told


def main() -> None:
    """Send, and print what was seen as JSON."""
    import uvloop

    port, seconds, batch, name, rate = sys.argv[1:]
    told = uvloop.run(send(int(port), float(seconds), int(batch), name, float(rate)))
    times = sorted(told.seconds)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seen = {
        "acknowledged": told.acknowledged,
        "other_answers": told.others,
        "milliseconds": {f"p{p}": round(times[int(len(times) * p / 100)] * 1000, 2) for p in (50, 95, 99)},
        "client_cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
