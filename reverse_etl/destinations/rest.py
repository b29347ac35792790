"""What the clients of JSON APIs share: which answers are good, which end the run, and which refuse the call as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import httpx

from cdp.errors import ConfigurationError
from reverse_etl.destination import BatchRejectedError
from reverse_etl.http import Http, Judge, judge_status

# Reads (code, reason) from a vendor's error document.
ReadError = Callable[[Mapping[str, Any]], tuple[str, str]]


class Rest:
    """One vendor's API. Thread-safe, as Http is."""

    def __init__(
        self, http: Http, vendor: str, read_error: ReadError, *, credentials: str, judge: Judge = judge_status
    ) -> None:
        """`credentials`: what is expected of them, for the message that refuses them."""
        self._http, self._vendor, self._read_error = http, vendor, read_error
        self._credentials, self._judge = credentials, judge

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
        judge: Judge | None = None,
        repeatable: bool = True,
    ) -> httpx.Response:
        """One call. Raises ConfigurationError on 401 and 403, BatchRejectedError on any other refusal.

        A call that is not `repeatable` is made again only when it certainly had no effect.
        """
        response = self._http.request(
            method,
            path,
            json=body,
            content=content,
            params=params,
            headers=headers,
            judge=judge or self._judge,
            repeatable=repeatable,
        )
        status = response.status_code
        if status < 300 or status in accept:
            return response
        code, reason = self._read_error(document(response))
        if status in (401, 403):
            raise refused(self._vendor, f"status {status}{f', {code}' if code else ''}", self._credentials)
        raise BatchRejectedError(reason or f"status {status}", code or str(status))

    def close(self) -> None:
        """Give connections back."""
        self._http.close()


def refused(vendor: str, how: str, expected: str) -> ConfigurationError:
    """Credentials that the vendor does not take end the run."""
    return ConfigurationError(
        f"{vendor} refuses the credentials ({how})",
        where=vendor,
        expected=expected,
        fix=f"correct the settings CDP_{vendor.upper()}__... and run again",
    )


def document(response: httpx.Response) -> Mapping[str, Any]:
    """The answer as an object; empty when it is none."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
