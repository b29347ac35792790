"""WeCom (企业微信) customer contact: a source of relations and tags, and the destination of tags, remarks and messages.

Contract: developer.work.weixin.qq.com, documents 91039 (gettoken), 92571 and 96316 (external contacts), 96320 (tag
library), 92697 (mark_tag), 90454 (limits). Errors come with HTTP 200 and an `errcode`. Relations are those of the
generated world; tags applied here are kept in SQLite on top of it, so the next read shows them.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.emulators.destinations import Fates
from demo.emulators.destinations._wecom_groups import GroupChats
from demo.emulators.destinations._wecom_messages import MassMessages, Remarks
from demo.emulators.destinations._wecom_world import MAX_TAGS, CorpTags, WeComError, World

CORPID = "wwdemo0lumen"
# Each app of the corporation has a secret of its own; the tags of one cannot be edited by the other.
APPS = {"demo-wecom-secret": "tributary", "demo-other-app-secret": "other-app"}
MAX_CONCURRENT = 5
TOKEN_SECONDS = 7200
_SCHEMA = """
create table if not exists mark (userid text, external_userid text, tag_id text, is_set integer not null,
    primary key (userid, external_userid, tag_id));
create table if not exists token (token text primary key, app text not null, expires_at real not null);
create table if not exists call (no integer primary key, method text, path text, errcode integer, status integer);
"""


def environment(base_url: str) -> dict[str, str]:
    """Lines of world.env."""
    secret = next(iter(APPS))
    return {"CDP_WECOM__BASE_URL": base_url, "CDP_WECOM__CORPID": CORPID, "CDP_WECOM__CORPSECRET": secret}


def create_app(
    world_dir: Path,
    state_dir: Path,
    faults: Fates,
    *,
    answer_seconds: float = 0.0,
    token_seconds: int = TOKEN_SECONDS,
    daily_cap: int | None = 1,
) -> Starlette:
    """The emulator. `answer_seconds` holds every answer back, so that calls can overlap in a test. `daily_cap`: the
    corporation's rule of one mass message a customer and day, or none."""
    folder = world_dir / "sources" / "wecom"
    return WeCom(folder, state_dir, faults, answer_seconds, token_seconds, daily_cap).app()


class WeCom:
    """State and rules of one corporation."""

    def __init__(
        self,
        folder: Path,
        state_dir: Path,
        faults: Fates,
        answer_seconds: float,
        token_seconds: int,
        daily_cap: int | None,
    ) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(state_dir / "wecom.sqlite", check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _SCHEMA)
        self._world, self._faults = World(folder), faults
        self._chats = GroupChats(self._world)
        self._tags, self._remarks = CorpTags(self._db, self._world), Remarks(self._db, self._world)
        self._messages = MassMessages(self._db, self._world, daily_cap)
        self._answer_seconds, self._token_seconds = answer_seconds, token_seconds
        self._numbers = itertools.count(1 + (self._db.execute("select max(no) from call").fetchone()[0] or 0))
        self._open_calls = 0

    def app(self) -> Starlette:
        """Routes."""
        contact = "/cgi-bin/externalcontact"
        calls: list[tuple[str, str, Callable[[dict[str, Any], str], dict[str, Any]]]] = [
            ("GET", f"{contact}/get_follow_user_list", self._follow_users),
            ("GET", f"{contact}/list", self._list),
            ("GET", f"{contact}/get", self._get),
            ("POST", f"{contact}/batch/get_by_user", self._get_by_user),
            ("POST", f"{contact}/get_corp_tag_list", self._tags.listed),
            ("POST", f"{contact}/add_corp_tag", self._tags.add),
            ("POST", f"{contact}/edit_corp_tag", self._tags.edit),
            ("POST", f"{contact}/del_corp_tag", self._tags.delete),
            ("POST", f"{contact}/mark_tag", self._mark_tag),
            ("POST", f"{contact}/groupchat/list", self._chats.listed),
            ("POST", f"{contact}/groupchat/get", self._chats.told),
            ("POST", f"{contact}/remark", self._remarks.write),
            ("POST", f"{contact}/add_msg_template", self._messages.create),
            ("POST", f"{contact}/get_groupmsg_list_v2", self._messages.listed),
            ("POST", f"{contact}/get_groupmsg_task", self._messages.members),
            ("POST", f"{contact}/get_groupmsg_send_result", self._messages.results),
        ]
        routes = [Route(path, self._guarded(call), methods=[method]) for method, path, call in calls]
        return Starlette(routes=[Route("/cgi-bin/gettoken", self._guarded(None), methods=["GET"]), *routes])

    # Rules of every call

    def _guarded(
        self, handler: Callable[[dict[str, Any], str], dict[str, Any]] | None
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            number = next(self._numbers)
            self._open_calls += 1
            try:
                body, status = await self._answer(request, handler, number)
            finally:
                self._open_calls -= 1
            self._db.execute(
                "insert into call values (?, ?, ?, ?, ?)",
                (number, request.method, request.url.path, body.get("errcode"), status),
            )
            return JSONResponse(body, status)

        return endpoint

    async def _answer(
        self, request: Request, handler: Callable[[dict[str, Any], str], dict[str, Any]] | None, number: int
    ) -> tuple[dict[str, Any], int]:
        fault = self._faults.fate("wecom", number, request.url.path)
        if fault is not None and fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        try:
            if fault is not None and not fault.after_effect:
                return _fault_body(fault.status)
            if self._answer_seconds:
                await asyncio.sleep(self._answer_seconds)
            if handler is None:
                body = self._token(dict(request.query_params))
            else:
                app = self._app_of(request.query_params.get("access_token", ""))
                if self._open_calls > MAX_CONCURRENT:
                    raise WeComError(45033, "concurrency limit reached")
                body = handler(await _parameters(request), app)
        except WeComError as error:
            return {"errcode": error.errcode, "errmsg": error.errmsg}, 200
        if fault is not None:
            return _fault_body(fault.status)
        return {"errcode": 0, "errmsg": "ok", **body}, 200

    def _token(self, query: dict[str, str]) -> dict[str, Any]:
        if query.get("corpid") != CORPID:
            raise WeComError(40013, "invalid corpid")
        app = APPS.get(query.get("corpsecret", ""))
        if app is None:
            raise WeComError(40001, "invalid credential, secret is wrong")
        now = time.time()
        # The same token comes back until it expires, as with the vendor.
        held = self._db.execute("select token from token where app = ? and expires_at > ?", (app, now)).fetchone()
        if held is not None:
            return {"access_token": held["token"], "expires_in": self._token_seconds}
        issued = self._db.execute("select count(*) from call where path like '%/gettoken'").fetchone()[0]
        token = hashlib.sha256(f"{app}/{issued}".encode()).hexdigest()
        self._db.execute("insert into token values (?, ?, ?)", (token, app, now + self._token_seconds))
        return {"access_token": token, "expires_in": self._token_seconds}

    def _app_of(self, token: str) -> str:
        if not token:
            raise WeComError(41001, "access_token missing")
        held = self._db.execute("select app, expires_at from token where token = ?", (token,)).fetchone()
        if held is None:
            raise WeComError(40014, "invalid access_token")
        if held["expires_at"] <= time.time():
            raise WeComError(42001, "access_token expired")
        return str(held["app"])

    # Relations

    def _follow_users(self, _given: dict[str, Any], _app: str) -> dict[str, Any]:
        return {"follow_user": sorted(self._world.staff())}

    def _list(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        userid = self._known_user(given.get("userid"))
        found = [external for user, external in self._world.relations() if user == userid]
        if not found:
            raise WeComError(84061, "not external contact")
        return {"external_userid": found}

    def _get(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        external, names = given.get("external_userid"), self._tags.names()
        rows = [row for (_, of), row in self._world.relations().items() if of == external]
        if not rows:
            raise WeComError(40096, "invalid external userid")
        start, size = _cursor(given.get("cursor", "")), 500
        answer: dict[str, Any] = {"external_contact": rows[0]["external_contact"], "follow_user": []}
        for row in rows[start : start + size]:
            follow = {key: value for key, value in self._follow_info(row).items() if key != "tag_id"}
            ids = self._follow_info(row)["tag_id"]
            follow["tags"] = [{**names[tag_id], "tag_id": tag_id, "type": 1} for tag_id in ids if tag_id in names]
            answer["follow_user"].append(follow)
        if len(rows) > start + size:
            answer["next_cursor"] = str(start + size)
        return answer

    def _get_by_user(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        users, limit = given.get("userid_list"), given.get("limit", 50)
        if not isinstance(users, list) or not 1 <= len(users) <= 100:
            raise WeComError(40058, "userid_list must hold 1 to 100 userids")
        if not isinstance(limit, int) or not 1 <= limit <= 100:
            raise WeComError(40058, "limit must be 1 to 100")
        wanted = {self._known_user(user) for user in users}
        rows = [row for (user, _), row in self._world.relations().items() if user in wanted]
        start = _cursor(given.get("cursor", ""))
        page = [
            {"external_contact": row["external_contact"], "follow_info": self._follow_info(row)}
            for row in rows[start : start + limit]
        ]
        following = str(start + limit) if len(rows) > start + limit else ""
        return {"external_contact_list": page, "next_cursor": following}

    def _follow_info(self, row: dict[str, Any]) -> dict[str, Any]:
        marks = self._db.execute(
            "select tag_id, is_set from mark where userid = ? and external_userid = ? order by tag_id",
            (row["userid"], row["external_userid"]),
        ).fetchall()
        removed = {mark["tag_id"] for mark in marks if not mark["is_set"]}
        tags = [tag for tag in row["follow_info"].get("tag_id", []) if tag not in removed]
        tags += [mark["tag_id"] for mark in marks if mark["is_set"] and mark["tag_id"] not in tags]
        return {**row["follow_info"], **self._remarks.of(row["userid"], row["external_userid"]), "tag_id": tags}

    def _known_user(self, userid: Any) -> str:
        if userid not in self._world.staff():
            raise WeComError(60111, "userid not found")
        return str(userid)

    def _mark_tag(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        add, remove = given.get("add_tag") or [], given.get("remove_tag") or []
        if not add and not remove:
            raise WeComError(40058, "add_tag and remove_tag must not both be empty")
        userid, external = self._known_user(given.get("userid")), given.get("external_userid")
        relations = self._world.relations()
        if external not in self._world.customers():
            raise WeComError(40096, "invalid external userid")
        relation = relations.get((userid, str(external)))
        if relation is None:
            raise WeComError(84061, "not external contact")
        known = self._tags.names()
        if any(tag_id not in known for tag_id in [*add, *remove]):
            raise WeComError(40068, "invalid tagid")
        if len(set(self._follow_info(relation)["tag_id"]) - set(remove) | set(add)) > MAX_TAGS:
            raise WeComError(40072, "too many tags of one customer")
        self._db.execute("begin immediate")
        for is_set, tag_ids in ((0, remove), (1, add)):
            self._db.executemany(
                "insert into mark values (?, ?, ?, ?) on conflict do update set is_set = excluded.is_set",
                [(userid, external, tag_id, is_set) for tag_id in tag_ids],
            )
        self._db.execute("commit")
        return {}


async def _parameters(request: Request) -> dict[str, Any]:
    if request.method == "GET":
        return dict(request.query_params)
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise WeComError(47001, "data format error") from None
    if not isinstance(body, dict):
        raise WeComError(47001, "data format error")
    return body


def _cursor(cursor: Any) -> int:
    if cursor in ("", None):
        return 0
    if not str(cursor).isdigit():
        raise WeComError(40058, "invalid cursor")
    return int(cursor)


def _fault_body(status: int) -> tuple[dict[str, Any], int]:
    """429 is told as an errcode, as all of WeCom's refusals are; others as an HTTP failure of the gateway."""
    if status == 429:
        return {"errcode": 45009, "errmsg": "api freq out of limit"}, 200
    return {"errcode": -1, "errmsg": "system error"}, status
