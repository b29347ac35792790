"""What is noted about customers, and tasks of mass messages, in the corporation behind the WeCom emulator.

Contract: developer.work.weixin.qq.com, documents 92115 (remark), 92135 (add_msg_template; a customer receives at most as many
messages a month as the month has days, and corporations may set one a day), 93338 (records and results). Handlers take
(what was given, the calling app).
"""

from __future__ import annotations

import calendar
import hashlib
import json
import sqlite3
import time
from typing import Any

from demo.emulators.destinations._wecom_world import WeComError, World

_LIMITS = {"remark": 20, "description": 150, "remark_company": 20}
_MOST_CUSTOMERS, _MOST_BYTES, _MONTH_SECONDS = 10_000, 4_000, 31 * 86_400
_SCHEMA = """
create table if not exists remark (userid text, external_userid text, noted text not null,
    primary key (userid, external_userid));
create table if not exists task (no integer primary key, msgid text unique, sender text, content text, create_time integer);
create table if not exists task_customer (msgid text, external_userid text, day text, primary key (msgid, external_userid));
"""


class Remarks:
    """Notes on top of those of the world."""

    def __init__(self, db: sqlite3.Connection, world: World) -> None:
        self._db, self._world = db, world
        self._db.executescript(_SCHEMA)

    def write(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        """remark: fields that are given replace what was noted."""
        check_relation(self._world, given.get("userid"), given.get("external_userid"))
        told = {name: given[name] for name in (*_LIMITS, "remark_mobiles", "remark_pic_mediaid") if name in given}
        if not told:
            raise WeComError(40058, "remark, description, remark_company, remark_mobiles must not all be empty")
        for name, most in _LIMITS.items():
            if len(str(told.get(name, ""))) > most:
                raise WeComError(40058, f"{name} must have at most {most} characters")
        mobiles = told.get("remark_mobiles", [])
        if not isinstance(mobiles, list) or not all(isinstance(mobile, str) for mobile in mobiles):
            raise WeComError(40058, "remark_mobiles must be a list of texts")
        if "remark_mobiles" in told:
            told["remark_mobiles"] = [mobile for mobile in mobiles if mobile]
        if "remark_company" in told:
            told["remark_corp_name"] = told.pop("remark_company")
        noted = json.dumps({**self.of(given["userid"], given["external_userid"]), **told}, ensure_ascii=False)
        self._db.execute(
            "insert or replace into remark values (?, ?, ?)", (given["userid"], given["external_userid"], noted)
        )
        return {}

    def of(self, userid: str, external_userid: str) -> dict[str, Any]:
        """What was noted through the API."""
        found = self._db.execute(
            "select noted from remark where userid = ? and external_userid = ?", (userid, external_userid)
        ).fetchone()
        return {} if found is None else dict(json.loads(found["noted"]))


class MassMessages:
    """Tasks, which wait for a member to confirm them: nobody does here."""

    def __init__(self, db: sqlite3.Connection, world: World, daily_cap: int | None) -> None:
        self._db, self._world, self._daily_cap = db, world, daily_cap
        self._db.executescript(_SCHEMA)

    def create(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        """add_msg_template: a task; customers whom it cannot reach are in fail_list."""
        customers, sender = given.get("external_userid"), given.get("sender")
        content = (given.get("text") or {}).get("content", "")
        if given.get("chat_type", "single") != "single" or not isinstance(customers, list):
            raise WeComError(40058, "external_userid must be a list, and chat_type single")
        if not 1 <= len(customers) <= _MOST_CUSTOMERS or len(set(customers)) != len(customers):
            raise WeComError(40058, f"external_userid must hold 1 to {_MOST_CUSTOMERS} customers, each once")
        if sender not in self._world.staff():
            raise WeComError(60111, "userid not found")
        if not content and not given.get("attachments"):
            raise WeComError(40058, "text and attachments must not both be empty")
        if len(content.encode()) > _MOST_BYTES:
            raise WeComError(40058, f"text.content must have at most {_MOST_BYTES} bytes")
        for attachment in given.get("attachments") or []:
            if attachment.get("msgtype") != "link" or not attachment.get("link", {}).get("url"):
                raise WeComError(40058, "attachments must be links with a url")
        now = int(time.time())
        number = 1 + self._db.execute("select count(*) from task").fetchone()[0]
        msgid = "msg" + hashlib.sha256(f"{number}".encode()).hexdigest()[:29]
        day = time.strftime("%Y-%m-%d", time.gmtime(now))
        failed = [each for each in customers if not self._may_get(str(sender), each, day)]
        self._db.execute("begin immediate")
        self._db.execute("insert into task values (?, ?, ?, ?, ?)", (number, msgid, sender, content, now))
        self._db.executemany(
            "insert into task_customer values (?, ?, ?)",
            [(msgid, each, day) for each in customers if each not in failed],
        )
        self._db.execute("commit")
        return {"fail_list": failed, "msgid": msgid}

    def listed(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        """get_groupmsg_list_v2: tasks of at most a month, newest first."""
        start, end = given.get("start_time"), given.get("end_time")
        if given.get("chat_type") not in ("single", "group") or not isinstance(start, int) or not isinstance(end, int):
            raise WeComError(40058, "chat_type, start_time and end_time are required")
        if not 0 <= end - start <= _MONTH_SECONDS:
            raise WeComError(40058, "between start_time and end_time lies more than a month")
        rows = self._db.execute(
            "select * from task where create_time between ? and ? order by no desc", (start, end)
        ).fetchall()
        page, following = _page(rows, given, usual=50, most=100)
        shown = [
            {"msgid": r["msgid"], "create_time": r["create_time"], "create_type": 0, "text": {"content": r["content"]}}
            for r in page
        ]
        return {"group_msg_list": shown, "next_cursor": following}

    def members(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        """get_groupmsg_task: who has to confirm."""
        task = self._task(given)
        return {"task_list": [{"userid": task["sender"], "status": 0}], "next_cursor": ""}

    def results(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        """get_groupmsg_send_result: customers of one member. Status 0: not sent yet."""
        task = self._task(given)
        rows = self._db.execute(
            "select external_userid from task_customer where msgid = ? order by external_userid", (task["msgid"],)
        ).fetchall()
        page, following = _page(rows if task["sender"] == given.get("userid") else [], given, usual=500, most=1000)
        sent = [{"external_userid": r["external_userid"], "userid": task["sender"], "status": 0} for r in page]
        return {"send_list": sent, "next_cursor": following}

    def _task(self, given: dict[str, Any]) -> sqlite3.Row:
        found = self._db.execute("select * from task where msgid = ?", (given.get("msgid"),)).fetchone()
        if found is None:
            raise WeComError(41047, "invalid msgid")
        task: sqlite3.Row = found
        return task

    def _may_get(self, sender: str, customer: str, day: str) -> bool:
        if (sender, customer) not in self._world.relations():
            return False

        def got(pattern: str) -> int:
            sql = "select count(*) from task_customer where external_userid = ? and day like ?"
            return int(self._db.execute(sql, (customer, pattern)).fetchone()[0])

        days = calendar.monthrange(int(day[:4]), int(day[5:7]))[1]
        return got(f"{day[:7]}-%") < days and (self._daily_cap is None or got(day) < self._daily_cap)


def check_relation(world: World, userid: Any, external_userid: Any) -> None:
    """Raises WeComError for a member, a customer, or a relation that is not there."""
    if userid not in world.staff():
        raise WeComError(60111, "userid not found")
    if external_userid not in world.customers():
        raise WeComError(40096, "invalid external userid")
    if (userid, external_userid) not in world.relations():
        raise WeComError(84061, "not external contact")


def _page(rows: list[sqlite3.Row], given: dict[str, Any], *, usual: int, most: int) -> tuple[list[sqlite3.Row], str]:
    """A page and the cursor of the next. A limit above the largest counts as the usual one."""
    asked, start = given.get("limit") or usual, int(given.get("cursor") or 0)
    size = asked if asked <= most else usual
    return rows[start : start + size], str(start + size) if len(rows) > start + size else ""
