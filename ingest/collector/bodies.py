"""From the bytes of a request to what it says: unpacked, parsed and with its key, within limits.

What the headers say of the content is not believed: RudderStack's Node SDK calls its gzipped JSON a form, browsers call
theirs plain text.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson

from ingest.collector.events import Unusable, check_shape

Receive = Callable[[], Any]
# only bodies that orjson refuses come this way, so it may be slow, but not for long
SLOW_BYTES = 1024 * 1024
_GZIP = b"\x1f\x8b"


class Refused(Exception):
    """The request is answered with an error. `code` and `message` are its body; no value of the request is in them."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


@dataclass
class Memory:
    """Bytes of bodies that are being read, over all requests."""

    limit: int
    used: int = 0


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], limit: int, seconds: float, memory: Memory
) -> bytes:
    """The whole body. Raises Refused when it is too long, too slow, cut off, or when memory is short."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    message = await _next(receive, seconds)
    if not message.get("more_body"):
        return _within(bytes(message.get("body", b"")), limit)
    chunks, size = [message["body"]], len(message["body"])
    memory.used += size
    try:
        async with asyncio.timeout(seconds):
            while message.get("more_body"):
                message = await _next(receive, seconds)
                chunk = message.get("body", b"")
                size += len(chunk)
                memory.used += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                if memory.used > memory.limit:
                    raise Refused(429, "overloaded", "too many large requests at a time", retry_after=1)
                chunks.append(chunk)
    except TimeoutError:
        raise _too_slow(seconds) from None
    finally:
        memory.used -= size
    return b"".join(chunks)


def unpacked(body: bytes, encoding: bytes, limit: int) -> bytes:
    """The body without its compression, which is told by its header or its first bytes. Raises Refused."""
    encoding = encoding.strip().lower()
    if encoding in (b"gzip", b"x-gzip") or body.startswith(_GZIP):
        window = 31
    elif encoding == b"deflate":
        window = 15 if body[:1] in (b"\x78", b"\x58", b"\x08") else -15
    elif encoding in (b"", b"identity"):
        return body
    else:
        raise Refused(415, "unknown_encoding", "Content-Encoding: gzip, deflate or none")
    if encoding and not body.startswith(_GZIP) and window == 31:
        return body  # said to be gzip, and is not: some proxies unpack and leave the header
    try:
        unpacker = zlib.decompressobj(window)
        found = unpacker.decompress(body, limit + 1)
    except zlib.error:
        raise Refused(400, "invalid_compression", "the compressed body is damaged") from None
    if len(found) > limit:
        raise _too_large(limit)
    if not unpacker.eof:
        raise Refused(400, "invalid_compression", "the compressed body is cut off")
    return found


def parsed(body: bytes) -> Any:
    """The JSON of a body. Raises Refused.

    What some clients send although it is not JSON is mended: lone surrogates become U+FFFD, NaN and infinity null, whole
    numbers beyond 64 bits text.
    """
    if body.startswith(b"\xef\xbb\xbf"):
        body = body[3:]
    if not body.strip():
        raise Refused(400, "empty_body", "the body is empty")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _mended(body, error)


def key_of(headers: Mapping[bytes, bytes], query: bytes) -> tuple[str, str]:
    """(kind, write key or token) as the headers or the address say it; ("", "") when they do not."""
    authorization = headers.get(b"authorization", b"")
    scheme, _, credentials = authorization.partition(b" ")
    if scheme.lower() == b"basic":
        try:
            user = base64.b64decode(credentials.strip(), validate=True).partition(b":")[0]
        except (binascii.Error, ValueError):
            raise Refused(401, "invalid_authorization", "Authorization: Basic is not base64") from None
        if user:
            return "key", user.decode("utf-8", "replace")
    if scheme.lower() == b"bearer" and credentials.strip():
        return "token", credentials.strip().decode("ascii", "replace")
    if query:
        found = parse_qs(query.decode("ascii", "replace"), max_num_fields=50).get("writeKey")
        if found:
            return "key", found[0]
    written = headers.get(b"x-write-key", b"")
    # Jitsu's clients send "key:secret"
    return ("key", written.partition(b":")[0].decode("utf-8", "replace")) if written else ("", "")


def _mended(body: bytes, error: orjson.JSONDecodeError) -> Any:
    if len(body) > SLOW_BYTES:
        raise _not_json(error)
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=lambda _: None, parse_int=_whole, parse_float=_finite)
        check_shape(found if not isinstance(found, dict) else {k: v for k, v in found.items() if k != "batch"})
        for event in found.get("batch", []) if isinstance(found, dict) and isinstance(found.get("batch"), list) else []:
            check_shape(event)
    except UnicodeDecodeError as wrong:
        raise Refused(400, "invalid_encoding", f"the body is not UTF-8 (byte {wrong.start})") from None
    except RecursionError:
        raise Refused(400, "too_deep", "the body is nested too deeply") from None
    except Unusable as wrong:
        raise Refused(400, "too_deep", str(wrong)) from None
    except ValueError:
        raise _not_json(error) from None
    return _without_surrogates(found)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return [_without_surrogates(v) for v in value] if isinstance(value, list) else value


def _whole(text: str) -> int | str:
    return int(text) if len(text) < 19 else text


def _finite(text: str) -> float | None:
    found = float(text)
    return found if abs(found) != float("inf") else None


async def _next(receive: Receive, seconds: float) -> Any:
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
    except TimeoutError:
        raise _too_slow(seconds) from None
    if message["type"] == "http.disconnect":
        raise Refused(400, "cut_off", "the client went away before its body was whole")
    return message


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> Refused:
    return Refused(413, "too_large", f"the body is larger than {limit // 1024} KiB: send fewer events at a time")


def _too_slow(seconds: float) -> Refused:
    return Refused(408, "too_slow", f"the body did not come within {seconds:g} s")


def _not_json(error: orjson.JSONDecodeError) -> Refused:
    return Refused(400, "invalid_json", f"the body is not JSON (line {error.lineno}, column {error.colno})")
