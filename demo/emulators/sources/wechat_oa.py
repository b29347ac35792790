"""The WeChat official account: access tokens and followers.

Contract: developers.weixin.qq.com/doc/offiaccount, "Get access token" (cgi-bin/token), "Get the list of users"
(cgi-bin/user/get, at most 10,000 openids a page), "Get users' basic information" (cgi-bin/user/info and
user/info/batchget, at most 100 openids a call). Errors are `errcode` with HTTP 200: 40001 secret, 40002 grant type,
40003 openid, 40013 appid, 40014 token, 40032 list too long, 41001 token missing, 42001 token expired, 45009 quota,
47001 body, -1 busy. A follower who left is not listed any more, and asked for by openid only says so.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from demo.emulators.backing import Backing
from demo.emulators.faults import Fault, FaultPlan, Faults, FaultyRoutes, RateLimit

APPID = "wxdemo0000lumen0000"
SECRET = "demo-wechat-oa-secret"  # noqa: S105 - the emulator's own
LIST_LIMIT = 10_000
BATCH_LIMIT = 100
TOKEN_SECONDS = 7_200
FAULTS = FaultPlan(
    error_rate=0.01, throttle_rate=0.005, hang_seconds=1.0, rate_limit=RateLimit(requests=500, seconds=10)
)


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    return {"CDP_WECHAT_OA__BASE_URL": base_url, "CDP_WECHAT_OA__APPID": APPID, "CDP_WECHAT_OA__SECRET": SECRET}


def create_app(
    world_dir: Path, state_dir: Path, faults: Faults, *, clock: Callable[[], float] = time.time
) -> Starlette:
    """The emulator over `world_dir/sources/wechat_oa`; the access token in force is kept in `state_dir`."""
    account = _Account(world_dir / "sources" / "wechat_oa" / "followers.jsonl", state_dir / "wechat_oa.json", clock)
    routes = FaultyRoutes("wechat_oa", faults, _render)
    return Starlette(
        routes=[
            routes.control(),
            routes.route("/cgi-bin/token", account.token),
            routes.route("/cgi-bin/user/get", account.listing),
            routes.route("/cgi-bin/user/info", account.one),
            routes.route("/cgi-bin/user/info/batchget", account.batch, "POST"),
        ]
    )


class _Account:
    def __init__(self, path: Path, state_path: Path, clock: Callable[[], float]) -> None:
        self._followers = Backing(path, lambda row: str(row["openid"]))
        self._state_path, self._clock = state_path, clock

    async def token(self, request: Request) -> Response:
        query = request.query_params
        if query.get("grant_type") != "client_credential":
            return _error(40002, "invalid grant_type")
        if query.get("appid") != APPID:
            return _error(40013, "invalid appid")
        if query.get("secret") != SECRET:
            return _error(40001, "invalid credential")
        number = int(self._state().get("issued", 0)) + 1
        token = hashlib.sha256(f"{SECRET}/{number}".encode()).hexdigest()
        state = {"issued": number, "token": token, "expires_at": self._clock() + TOKEN_SECONDS}
        self._state_path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._state_path.with_suffix(".part")
        unfinished.write_text(json.dumps(state), encoding="utf-8")
        unfinished.replace(self._state_path)
        return JSONResponse({"access_token": token, "expires_in": TOKEN_SECONDS})

    async def listing(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        # by the time of following, as the account's own list is
        following = sorted((int(r["subscribe_time"]), str(r["openid"])) for r in self._all() if r["subscribe"])
        openids = [openid for _, openid in following]
        start = 0
        if after := request.query_params.get("next_openid"):
            if after not in openids:
                return _error(40003, "invalid openid")
            start = openids.index(after) + 1
        page = openids[start : start + LIST_LIMIT]
        answer: dict[str, Any] = {"total": len(openids), "count": len(page), "next_openid": page[-1] if page else ""}
        if page:
            answer["data"] = {"openid": page}
        return JSONResponse(answer)

    async def one(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        row = self._followers.find(request.query_params.get("openid", ""))
        return JSONResponse(_shown(json.loads(row.text))) if row else _error(40003, "invalid openid")

    async def batch(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        try:
            wanted = [str(entry["openid"]) for entry in json.loads(await request.body())["user_list"]]
        except (ValueError, KeyError, TypeError):
            return _error(47001, "data format error")
        if not 1 <= len(wanted) <= BATCH_LIMIT:
            return _error(40032, f"invalid openid list size: 1 to {BATCH_LIMIT}")
        rows = [self._followers.find(openid) for openid in wanted]
        if any(row is None for row in rows):
            return _error(40003, "invalid openid")
        return JSONResponse({"user_info_list": [_shown(json.loads(row.text)) for row in rows if row]})

    def _refused(self, request: Request) -> Response | None:
        given = request.query_params.get("access_token")
        if not given:
            return _error(41001, "access_token missing")
        state = self._state()
        if given != state.get("token"):
            return _error(40014, "invalid access_token")
        if self._clock() >= state["expires_at"]:
            return _error(42001, "access_token expired")
        return None

    def _all(self) -> list[dict[str, Any]]:
        return [json.loads(row.text) for row in self._followers.rows()]

    def _state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._state_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return state


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    if not row["subscribe"]:
        return {"subscribe": 0, "openid": row["openid"]}
    hidden = {"updated_at"} | ({"unionid"} if row.get("unionid") is None else set())
    return {key: value for key, value in row.items() if key not in hidden}


def _render(fault: Fault) -> Response:
    if fault.status == 429:
        return _error(45009, "reach max api daily quota limit")
    if fault.status == 503:
        return _error(-1, "system error")
    return Response("", fault.status)


def _error(code: int, message: str) -> Response:
    return JSONResponse({"errcode": code, "errmsg": message})
