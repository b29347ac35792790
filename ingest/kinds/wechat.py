"""What the APIs of WeChat and WeCom have in common: a token that is fetched, kept and renewed, and errors as `errcode` with
HTTP 200.

Contracts: developer.work.weixin.qq.com/document/path/91039 (token), 96316 (contacts), and the official account's
developers.weixin.qq.com/doc/offiaccount (token, user list, batchget).
"""

from __future__ import annotations

import time
from typing import Any

from cdp.errors import ConfigurationError, RunError
from cdp.sources import Source
from ingest.kinds.http import retrying_session

TOKEN_ERRORS = {40001, 40014, 42001}
BUSY_ERRORS = {-1, 45009, 45033}
ATTEMPTS = 6


class WeChatApi:
    """Calls one app's API; the token comes from a call of its own."""

    def __init__(self, source: Source, base_url: str, token_path: str, token_parameters: dict[str, str]) -> None:
        self._source, self._base = source, base_url.rstrip("/")
        self._token_path, self._token_parameters = token_path, token_parameters
        self._session = retrying_session(source)
        self._token = ""

    def call(self, method: str, path: str, *, params: dict[str, Any] | None = None, body: Any = None) -> dict[str, Any]:
        """One call's answer. An expired token is renewed, a busy API asked again; other errors raise RunError."""
        renewals = 0
        while True:
            if not self._token:
                self._fetch_token()
            answer = self._patiently(method, path, {"access_token": self._token, **(params or {})}, body)
            code = int(answer.get("errcode", 0))
            if code == 0:
                return answer
            if code not in TOKEN_ERRORS or renewals == ATTEMPTS:
                raise RunError(
                    f"{path} answered errcode {code}",
                    where=f"ingest/sources/{self._source.name}.yml",
                    expected="errcode 0",
                    fix="look the code up in the platform's list of return codes",
                )
            self._token, renewals = "", renewals + 1

    def _fetch_token(self) -> None:
        answer = self._patiently("GET", self._token_path, self._token_parameters, None)
        if not answer.get("access_token"):
            raise ConfigurationError(
                f"no access token was given (errcode {answer.get('errcode')})",
                where=f"ingest/sources/{self._source.name}.yml",
                expected="an app's id and its secret",
                fix="check "
                + ", ".join(f"CDP_{self._source.name.upper()}__{k.upper()}" for k in self._source.connection),
            )
        self._token = str(answer["access_token"])

    def _patiently(self, method: str, path: str, params: dict[str, Any], body: Any) -> dict[str, Any]:
        """An answer other than that the API is busy, if one comes within 11 s."""
        for attempt in range(ATTEMPTS):
            answer = self._send(method, path, params, body)
            if int(answer.get("errcode", 0)) not in BUSY_ERRORS:
                break
            time.sleep(min(0.2 * 2**attempt, 5))
        return answer

    def _send(self, method: str, path: str, params: dict[str, Any], body: Any) -> dict[str, Any]:
        from requests import RequestException

        try:
            answer = self._session.request(method, f"{self._base}{path}", params=params, json=body)
            answer.raise_for_status()
            found = answer.json()
        except (RequestException, ValueError) as error:
            # the address of a request holds the token: only the kind of the error may be told
            raise RunError(
                f"{path} could not be called: {type(error).__name__}",
                where=f"ingest/sources/{self._source.name}.yml",
                fix="check that the API is reachable; nothing was lost, the next run reads it again",
            ) from None
        return dict(found)
