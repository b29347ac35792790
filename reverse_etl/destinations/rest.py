"""What the clients of JSON APIs share: which answers are good, which end the run, and which refuse the call as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from cdp.errors import ConfigurationError
from reverse_etl.destination import BatchRejectedError, Outcome, Result, Row, UnavailableError
from reverse_etl.http import Http, Judge, judge_status
from reverse_etl.response import Response

# Reads (code, reason) from a vendor's error document.
ReadError = Callable[[Mapping[str, Any]], tuple[str, str]]


class Rest:
    """One vendor's API. Thread-safe, as Http is."""

    def __init__(
        self,
        http: Http,
        vendor: str,
        read_error: ReadError,
        *,
        credentials: str,
        judge: Judge = judge_status,
        is_good: Callable[[Response], bool] = lambda response: response.status_code < 300,
        refuses: Callable[[int, str], bool] = lambda status, code: status in (401, 403),
    ) -> None:
        """`credentials`: what is expected of them, for the message that refuses them.

        Vendors that do not tell by the status say by `is_good` which answers are, and by `refuses` (of status and code)
        which refuse the credentials.
        """
        self._http, self._vendor, self._read_error = http, vendor, read_error
        self._credentials, self._judge, self._is_good, self._refuses = credentials, judge, is_good, refuses

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
    ) -> Response:
        """One call. Raises ConfigurationError when the credentials are refused, BatchRejectedError on any other refusal.

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
        if self._is_good(response) or status in accept:
            return response
        code, reason = self._read_error(document(response))
        if self._refuses(status, code):
            raise refused(self._vendor, f"status {status}{f', {code}' if code else ''}", self._credentials)
        raise BatchRejectedError(reason or f"status {status}", code or str(status))

    def close(self) -> None:
        """Give connections back."""
        self._http.close()


def one_by_one(rows: Sequence[Row], act: Callable[[Row], Outcome]) -> Result:
    """For what a vendor takes one row a call. What came before a failure is known; what comes after it was not sent."""
    outcomes: dict[str, Outcome] = {}
    for row in rows:
        try:
            outcomes[row.key] = act(row)
        except BatchRejectedError as error:
            outcomes[row.key] = Outcome("rejected", str(error), error.code)
        except UnavailableError as error:
            outcomes[row.key] = Outcome("in_doubt" if error.effect_unknown else "failed", str(error), error.code)
            return Result(outcomes, Outcome("failed", str(error), error.code))
    return Result(outcomes)


def oauth(vendor: str, url: str, form: Mapping[str, str], *, expected: str) -> Callable[[Http], str]:
    """Fetches an access token (RFC 6749, sections 4.4 and 6); `form` holds the grant and the credentials."""

    def fetch(http: Http) -> str:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = http.request("POST", url, content=urlencode(form), headers=headers, token=False)
        if answer.status_code >= 300:
            raise refused(vendor, f"status {answer.status_code}, {document(answer).get('error', '')}", expected)
        return str(answer.json()["access_token"])

    return fetch


def refused(vendor: str, how: str, expected: str) -> ConfigurationError:
    """Credentials that the vendor does not take end the run."""
    return ConfigurationError(
        f"{vendor} refuses the credentials ({how})",
        where=vendor,
        expected=expected,
        fix=f"correct the settings CDP_{vendor.upper()}__... and run again",
    )


def document(response: Response) -> Mapping[str, Any]:
    """The answer as an object, of a list (Salesforce's errors) the first; empty when it is none."""
    try:
        body = response.json()
    except ValueError:
        return {}
    if isinstance(body, list) and body:
        body = body[0]
    return body if isinstance(body, dict) else {}
