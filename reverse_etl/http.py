"""HTTP with retries: the one place where clients wait, and where an answer's effect is judged known or unknown."""

from __future__ import annotations

import email.utils
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import stamina

from reverse_etl.declaration import Retry
from reverse_etl.destination import UnavailableError

# httpx logs whole URLs, and some vendors want secrets in theirs.
logging.getLogger("httpx").setLevel(logging.WARNING)

_NEVER_REACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass
class TryAgain(Exception):
    """The answer asks for another try: after how many seconds (None: by back-off), and was it perhaps applied?"""

    reason: str
    after: float | None = None
    effect_unknown: bool = False


Judge = Callable[[httpx.Response], None]


def judge_status(response: httpx.Response) -> None:
    """Raise TryAgain on the statuses that HTTP defines as passing. 429 and 503 are refusals before any effect."""
    if response.status_code in (423, 429, 477, 503):
        raise TryAgain(f"status {response.status_code}", retry_after(response))
    if response.status_code >= 500 or response.status_code == 408:
        raise TryAgain(f"status {response.status_code}", retry_after(response), effect_unknown=True)


def retry_after(response: httpx.Response) -> float | None:
    """Seconds of a Retry-After header, which may be a number or a date (RFC 9110, section 10.2.3)."""
    written = response.headers.get("Retry-After", "").strip()
    if not written:
        return None
    try:
        return max(float(written), 0.0)
    except ValueError:
        pass
    try:
        return max((email.utils.parsedate_to_datetime(written) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


class Http:
    """A connection to one vendor."""

    def __init__(self, base_url: str, retry: Retry, timeout: float, headers: Mapping[str, str] | None = None) -> None:
        self._client = httpx.Client(base_url=base_url.rstrip("/"), timeout=timeout, headers=dict(headers or {}))
        self._retry = retry

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        judge: Judge = judge_status,
    ) -> httpx.Response:
        """One call, repeated while `judge` asks for it. Raises UnavailableError when the budget is used up.

        No reason carries the URL or the answer's text: both may hold secrets or personal data.
        """
        retry, unknown = self._retry, False

        def again(error: Exception) -> bool | float:
            if not isinstance(error, TryAgain):
                return False
            if error.after is None:
                return True
            # stamina reads 0 as "no": wait at least a moment.
            return max(error.after, 0.01) if error.after <= retry.longest_wait_seconds else False

        try:
            for attempt in stamina.retry_context(
                on=again,
                attempts=retry.attempts,
                timeout=retry.budget_seconds,
                wait_initial=retry.first_wait_seconds,
                wait_max=retry.longest_wait_seconds,
                wait_jitter=0,
            ):
                with attempt:
                    try:
                        response = self._once(method, path, json, params)
                        judge(response)
                    except TryAgain as error:
                        unknown = unknown or error.effect_unknown
                        raise
                    return response
        except TryAgain as error:
            wait = f"; it asks to wait {error.after:g} s" if error.after else ""
            raise UnavailableError(f"no usable answer: {error.reason}{wait}", effect_unknown=unknown) from None
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, json: Any, params: Mapping[str, str] | None) -> httpx.Response:
        try:
            return self._client.request(method, path, json=json, params=params)
        except _NEVER_REACHED as error:
            raise TryAgain(type(error).__name__) from None
        except httpx.TransportError as error:
            # The request may have arrived and been applied before the answer was lost.
            raise TryAgain(type(error).__name__, effect_unknown=True) from None

    def close(self) -> None:
        """Give connections back."""
        self._client.close()
