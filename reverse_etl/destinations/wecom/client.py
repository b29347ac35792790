"""WeCom: tags of follow relations. Missing tags are created; only tags of our own group are put on or taken off.

Contract: developer.work.weixin.qq.com, documents 91039 (gettoken), 96320 (tag library), 92697 (mark_tag), 90454
(limits). Failures come with HTTP 200 and an errcode, so the errcode decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx

from cdp.errors import ConfigurationError
from reverse_etl.catalog import MappedField
from reverse_etl.destination import Batch, BatchRejectedError, Outcome, Result, Row, Status, UnavailableError
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.http import Http, judge_status
from reverse_etl.pace import Pace, TryAgain

_CONTACT = "/cgi-bin/externalcontact"
_TAGS_A_CALL = 100

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
_NOT_A_RELATION = {84061, 40096}


class WeComRefusal(BatchRejectedError):
    """An errcode that concerns what was asked, not the connection."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(f"errcode {errcode}: {errmsg}", str(errcode))
        self.errcode = errcode


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> WeCom:
    """A client for the corporation `CDP_WECOM__CORPID` and the app that owns `CDP_WECOM__CORPSECRET`."""
    http = Http(spec, connection["base_url"], pace)
    return WeCom(http, connection["corpid"], connection["corpsecret"])


class WeCom:
    """See `reverse_etl.destination.Client`."""

    def __init__(self, http: Http, corpid: str, corpsecret: str) -> None:
        self._http, self._corpid, self._corpsecret = http, corpid, corpsecret
        self._token = ""
        self._group_id = ""
        self._tag_ids: dict[str, str] | None = None

    def prepare(self, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Read our group of the tag library."""
        self._read_tags(options["tag_group"])

    def write(self, batch: Batch) -> Result:
        """One call of mark_tag for each follow relation among the rows, with all its additions and removals."""
        group_name = batch.options["tag_group"]
        wanted = {str(row.payload["tag_name"]) for row in batch.rows if row.operation != "delete"}
        refused = self._create_tags(wanted, group_name)
        outcomes: dict[str, Outcome] = {}
        relations = itertools.groupby(
            batch.rows, key=lambda row: (row.payload["userid"], row.payload["external_userid"])
        )
        for (userid, external_userid), group in relations:
            rows = list(group)
            try:
                outcomes |= self._mark(str(userid), str(external_userid), rows, refused)
            except UnavailableError as error:
                if not outcomes:
                    raise
                # What was marked before has its outcome; the relation under way may have, those behind it have not begun.
                status: Status = "in_doubt" if error.effect_unknown else "failed"
                outcomes |= {row.key: Outcome(status, str(error), error.code) for row in rows}
                return Result(outcomes, Outcome("failed", str(error), error.code))
        return Result(outcomes)

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def _mark(
        self, userid: str, external_userid: str, rows: list[Row], refused: Mapping[str, str]
    ) -> dict[str, Outcome]:
        tags = self._tag_ids or {}
        done, outcomes = Outcome("succeeded"), {}
        adding: list[Row] = []
        removing: list[Row] = []
        for row in rows:
            name = str(row.payload["tag_name"])
            if row.operation != "delete" and name in refused:
                outcomes[row.key] = Outcome("rejected", refused[name])
            elif name in tags:
                (removing if row.operation == "delete" else adding).append(row)
            elif row.operation == "delete":
                # A tag that is no longer in the library is on nobody.
                outcomes[row.key] = done
        if not adding and not removing:
            return outcomes
        body = {
            "userid": userid,
            "external_userid": external_userid,
            "add_tag": [tags[str(row.payload["tag_name"])] for row in adding],
            "remove_tag": [tags[str(row.payload["tag_name"])] for row in removing],
        }
        try:
            self._call("mark_tag", body)
        except WeComRefusal as refusal:
            if refusal.errcode == 40068:
                # Somebody deleted a tag of ours while we ran: the next run reads the library again.
                self._tag_ids = None
            no = Outcome("rejected", str(refusal), refusal.code)
            # Where the relation has ended its tags have ended with it.
            gone = refusal.errcode in _NOT_A_RELATION
            outcomes |= {row.key: done if gone else no for row in removing}
            return outcomes | {row.key: no for row in adding}
        return outcomes | {row.key: done for row in [*adding, *removing]}

    def _read_tags(self, group_name: str) -> dict[str, str]:
        groups = self._call("get_corp_tag_list", {}).get("tag_group", [])
        ours = [group for group in groups if group["group_name"] == group_name and not group.get("deleted")]
        self._group_id = ours[0]["group_id"] if ours else ""
        self._tag_ids = {tag["name"]: tag["id"] for group in ours for tag in group["tag"] if not tag.get("deleted")}
        return self._tag_ids

    def _create_tags(self, names: Iterable[str], group_name: str) -> dict[str, str]:
        """Create what is missing; name -> reason for what the vendor refuses."""
        tags = self._tag_ids if self._tag_ids is not None else self._read_tags(group_name)
        missing = sorted(set(names) - tags.keys())
        refused: dict[str, str] = {}
        for start in range(0, len(missing), _TAGS_A_CALL):
            refused |= self._create(missing[start : start + _TAGS_A_CALL], group_name)
        return refused

    def _create(self, names: list[str], group_name: str) -> dict[str, str]:
        group = {"group_id": self._group_id} if self._group_id else {"group_name": group_name}
        try:
            answer = self._call("add_corp_tag", {**group, "tag": [{"name": name} for name in names]})
        except WeComRefusal as refusal:
            # Perhaps an earlier call created them and its answer was lost.
            tags = self._read_tags(group_name)
            still = [name for name in names if name not in tags]
            if not still:
                return {}
            if len(still) == 1:
                return {still[0]: str(refusal)}
            middle = len(still) // 2
            return self._create(still[:middle], group_name) | self._create(still[middle:], group_name)
        self._group_id = answer["tag_group"]["group_id"]
        assert self._tag_ids is not None  # noqa: S101 - read before anything is created
        self._tag_ids |= {tag["name"]: tag["id"] for tag in answer["tag_group"]["tag"]}
        return {}

    def _call(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One call with a valid token; a token that the vendor no longer takes is fetched anew, once."""
        for attempt in (1, 2):
            answer = self._answer(
                self._http.request(
                    "POST", f"{_CONTACT}/{name}", json=body, params={"access_token": self._valid_token()}, judge=_judge
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
    def _answer(response: httpx.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code >= 400 or not isinstance(answer, dict):
            raise BatchRejectedError(f"status {response.status_code} without an answer that can be read")
        return answer


def _judge(response: httpx.Response) -> None:
    judge_status(response)
    try:
        errcode = response.json().get("errcode", 0)
    except (ValueError, AttributeError):
        return
    if errcode in _LATER:
        raise TryAgain(f"errcode {errcode}", effect_unknown=errcode == -1)
