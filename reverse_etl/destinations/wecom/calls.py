"""Calls of WeCom's API: tokens, limits, refusals. Failures come with HTTP 200 and an errcode, so the errcode decides.

Contract: developer.work.weixin.qq.com, documents 91039 (gettoken) and 90454 (limits).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cdp.errors import ConfigurationError
from reverse_etl.destination import BatchRejectedError, Outcome, Result, Row, Status, UnavailableError
from reverse_etl.http import Http, judge_status
from reverse_etl.pace import TryAgain
from reverse_etl.response import Response

_CONTACT = "/cgi-bin/externalcontact"

_TOKEN_GONE = {40014, 42001, 41001}
_REFUSED = {
    40001: "the secret is wrong",
    40013: "the corpid is wrong",
    48002: "the app may not call this interface",
    60011: "the app's scope is too narrow",
    60020: "this IP address is not allowed",
    84074: "the app may not read external contacts",
}
# Refused before any effect; ask again. -1 is "system busy".
_LATER = {45009, 45033, -1}


class WeComRefusal(BatchRejectedError):
    """An errcode that concerns what was asked, not the connection."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(f"errcode {errcode}: {errmsg}", str(errcode))
        self.errcode = errcode


class Calls:
    """One corporation, by one of its apps."""

    def __init__(self, http: Http, corpid: str, corpsecret: str) -> None:
        self._http, self._corpid, self._corpsecret = http, corpid, corpsecret
        self._token = ""

    def post(self, name: str, body: Mapping[str, Any], *, repeatable: bool = True) -> dict[str, Any]:
        """A call that is not `repeatable` is made again only when it certainly had no effect."""
        return self._call("POST", name, {}, body, repeatable=repeatable)

    def get(self, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        """A call that only reads."""
        return self._call("GET", name, query, None)

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def _call(
        self, method: str, name: str, query: Mapping[str, str], body: Any, *, repeatable: bool = True
    ) -> dict[str, Any]:
        """One call with a valid token; a token that the vendor no longer takes is fetched anew, once."""
        for attempt in (1, 2):
            answer = self._answer(
                self._http.request(
                    method,
                    f"{_CONTACT}/{name}",
                    json=body,
                    params={**query, "access_token": self._valid_token()},
                    judge=_judge,
                    repeatable=repeatable,
                )
            )
            errcode = int(answer.get("errcode", 0))
            if errcode in _TOKEN_GONE and attempt == 1:
                self._token = ""
                continue
            break
        if errcode == 0:
            return answer
        self._check_access(errcode)
        raise WeComRefusal(errcode, str(answer.get("errmsg", "")))

    def _valid_token(self) -> str:
        if not self._token:
            answer = self._answer(
                self._http.request(
                    "GET",
                    "/cgi-bin/gettoken",
                    params={"corpid": self._corpid, "corpsecret": self._corpsecret},
                    judge=_judge,
                )
            )
            self._check_access(int(answer.get("errcode", 0)))
            self._token = str(answer["access_token"])
        return self._token

    def _check_access(self, errcode: int) -> None:
        if errcode in _REFUSED or errcode in _TOKEN_GONE:
            reason = _REFUSED.get(errcode, "the access token is refused although it is new")
            raise ConfigurationError(
                f"WeCom refuses access: {reason} (errcode {errcode})",
                where="wecom",
                expected="the secret of a self-built app listed under 客户联系「可调用接口的应用」",
                fix="correct CDP_WECOM__CORPID and CDP_WECOM__CORPSECRET and run again",
            )

    @staticmethod
    def _answer(response: Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code >= 400 or not isinstance(answer, dict):
            raise BatchRejectedError(f"status {response.status_code} without an answer that can be read")
        return answer


def one_by_one(groups: Iterable[Sequence[Row]], send: Callable[[Sequence[Row]], Mapping[str, Outcome]]) -> Result:
    """A call for each group of a batch. When one has no answer, those before it keep their outcomes."""
    outcomes: dict[str, Outcome] = {}
    for rows in groups:
        try:
            outcomes |= send(rows)
        except UnavailableError as error:
            if not outcomes:
                raise
            # The call under way may have had its effect, those behind it have not begun.
            status: Status = "in_doubt" if error.effect_unknown else "failed"
            outcomes |= {row.key: Outcome(status, str(error), error.code) for row in rows}
            return Result(outcomes, Outcome("failed", str(error), error.code))
    return Result(outcomes)


def _judge(response: Response) -> None:
    judge_status(response)
    try:
        errcode = response.json().get("errcode", 0)
    except (ValueError, AttributeError):
        return
    if errcode in _LATER:
        raise TryAgain(f"errcode {errcode}", effect_unknown=errcode == -1)
