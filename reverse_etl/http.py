"""HTTP for clients: each call waits for its turn, and an answer's effect is judged known or unknown in one place."""

from __future__ import annotations

import email.utils
import json as json_text
import logging
import ssl
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx

from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.pace import Pace, TryAgain
from reverse_etl.response import Response
from reverse_etl.wire import Transport, transport_for

# httpx logs whole URLs, and some vendors want secrets in theirs.
logging.getLogger("httpx").setLevel(logging.WARNING)

_NEVER_REACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

_KEPT_URLS = 100

Judge = Callable[[Response], None]


def judge_status(response: Response) -> None:
    """Raise TryAgain on the statuses that HTTP defines as passing. 429 and 503 are refusals before any effect."""
    if response.status_code in (423, 425, 429, 477, 503):
        code = "rate_limit" if response.status_code in (429, 477) else "unavailable"
        raise TryAgain(f"status {response.status_code}", retry_after(response), code=code)
    if response.status_code >= 500 or response.status_code == 408:
        raise TryAgain(f"status {response.status_code}", retry_after(response), effect_unknown=True)


def retry_after(response: Response) -> float | None:
    """Seconds of a Retry-After header, which may be a number or a date (RFC 9110, section 10.2.3)."""
    return seconds_until(response.headers.get("Retry-After", ""))


def seconds_until(written: str) -> float | None:
    """Seconds of a number, or until an HTTP date; None when it is neither."""
    try:
        return max(float(written), 0.0)
    except ValueError:
        pass
    try:
        return max((email.utils.parsedate_to_datetime(written) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _body(document: Any, content: bytes | str | None) -> tuple[bytes, dict[str, str]]:
    """What is sent, and the headers that say what it is."""
    if document is not None:
        text = json_text.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode(), {"Content-Type": "application/json"}
    return content.encode() if isinstance(content, str) else content or b"", {}


@cache
def _authorities() -> ssl.SSLContext:
    """Certificates that are trusted, read once a process: 30 ms, a fifth of what a sync without changes costs."""
    return httpx.create_ssl_context()


class Http:
    """Connections to one vendor. Thread-safe."""

    def __init__(
        self,
        spec: DestinationSpec,
        base_url: str,
        pace: Pace,
        headers: Mapping[str, str] | None = None,
        token: Callable[[Http], str] | None = None,
    ) -> None:
        """`token` fetches a bearer token (by calls of its own, `token=False`); after a 401 it is fetched anew, once."""
        self._base, self._headers = base_url.rstrip("/"), dict(headers or {})
        self._urls: dict[str, httpx.URL] = {}
        self._transports: dict[tuple[str, str, int | None], Transport] = {}
        self._connections, self._timeout = spec.concurrency, float(spec.timeout_seconds)
        self._pace, self._fetch, self._token, self._fresh = pace, token, "", False
        self._lock = threading.RLock()

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | str | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        judge: Judge = judge_status,
        token: bool = True,
        repeatable: bool = True,
    ) -> Response:
        """One call, repeated while `judge` raises TryAgain. Raises UnavailableError when the budget is used up.

        No reason carries the URL or the answer's text: both may hold secrets or personal data. A call that is not
        `repeatable` is made again only when it certainly had no effect.
        """
        url = self._url(path).copy_merge_params(params) if params else self._url(path)
        body, kind = _body(json, content)

        def attempt() -> Response:
            sent = {**kind, **self._headers, **(headers or {})}
            with_token = token and self._fetch is not None
            if with_token:
                sent["Authorization"] = f"Bearer {self._valid_token()}"
            try:
                response = self._transport(url).call(method, url, sent, body)
            except _NEVER_REACHED as error:
                raise TryAgain(type(error).__name__) from None
            except (httpx.TransportError, httpx.DecodingError) as error:
                # The request may have arrived and been applied before the answer was lost.
                raise TryAgain(type(error).__name__, effect_unknown=True) from None
            if response.status_code == 401 and with_token and self._renewed(sent["Authorization"]):
                raise TryAgain("status 401", after=0.0)
            if response.status_code != 401:
                self._fresh = False
            judge(response)
            return response

        return self._pace.call(attempt, repeatable=repeatable)

    def close(self) -> None:
        """Give connections back."""
        for transport in self._transports.values():
            transport.close()

    def _transport(self, url: httpx.URL) -> Transport:
        """To the host of an address: the vendor's, or the one that gives tokens."""
        origin = (url.scheme, url.host, url.port)
        if (found := self._transports.get(origin)) is not None:
            return found
        with self._lock:
            if origin not in self._transports:
                self._transports[origin] = transport_for(url, _authorities, self._connections, self._timeout)
            return self._transports[origin]

    def _url(self, path: str) -> httpx.URL:
        """Below the base address, or a whole address of its own. Kept where few are used again and again."""
        found = self._urls.get(path)
        if found is None:
            found = httpx.URL(path if "://" in path else f"{self._base}/{path.lstrip('/')}")
            if len(self._urls) < _KEPT_URLS:
                self._urls[path] = found
        return found

    def _valid_token(self) -> str:
        with self._lock:
            if not self._token and self._fetch is not None:
                self._token, self._fresh = self._fetch(self), True
            return self._token

    def _renewed(self, refused: str) -> bool:
        """Drop a refused token. False when it was fetched just now: then the credentials are wrong."""
        with self._lock:
            if refused != f"Bearer {self._token}":
                return True  # another thread has renewed it meanwhile
            if self._fresh:
                return False
            self._token = ""
            return True
