"""The corporation behind the WeCom emulator: relations of the generated world, and the tag library on top of it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

MAX_TAGS = 3000
MAX_NAME = 30
_SCHEMA = """
create table if not exists tag_group (group_id text primary key, group_name text unique not null, position integer,
    app text not null, create_time integer not null);
create table if not exists tag (tag_id text primary key, group_id text not null, tag_name text not null,
    position integer, app text not null, create_time integer not null, unique (group_id, tag_name));
"""


class WeComError(Exception):
    """An answer with an errcode other than 0."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errmsg)
        self.errcode, self.errmsg = errcode, errmsg


class World:
    """The generated files, read again whenever one of them changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamps: dict[str, tuple[int, int]] = {}
        self._tags: list[dict[str, Any]] = []
        self._staff: set[str] = set()
        self._relations: dict[tuple[str, str], dict[str, Any]] = {}
        self._customers: set[str] = set()
        self._chats: dict[str, dict[str, Any]] = {}

    def corp_tags(self) -> list[dict[str, Any]]:
        """Tags that somebody made in the admin console."""
        if (rows := self._changed("corp_tags")) is not None:
            self._tags = rows
        return self._tags

    def staff(self) -> set[str]:
        """Members who may follow customers."""
        if (rows := self._changed("follow_users")) is not None:
            self._staff = {row["userid"] for row in rows}
        return self._staff

    def relations(self) -> dict[tuple[str, str], dict[str, Any]]:
        """(userid, external_userid) -> row, in that order."""
        if (rows := self._changed("external_contacts")) is not None:
            self._relations = dict(sorted(((row["userid"], row["external_userid"]), row) for row in rows))
            self._customers = {external for _, external in self._relations}
        return self._relations

    def group_chats(self) -> dict[str, dict[str, Any]]:
        """chat_id -> group chat with its members, in that order."""
        if (rows := self._changed("group_chats")) is not None:
            self._chats = {row["chat_id"]: row for row in sorted(rows, key=lambda row: str(row["chat_id"]))}
        return self._chats

    def customers(self) -> set[str]:
        """External userids that anybody follows."""
        self.relations()
        return self._customers

    def _changed(self, name: str) -> list[dict[str, Any]] | None:
        """Rows of a file that is new since the last look, else None. A missing file has no rows."""
        path = self._folder / f"{name}.jsonl"
        stat = path.stat() if path.exists() else None
        stamp = (stat.st_mtime_ns, stat.st_size) if stat else (0, 0)
        if self._stamps.get(name) == stamp:
            return None
        self._stamps[name] = stamp
        if stat is None:
            return []
        with path.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.strip()]


class CorpTags:
    """The tag library: groups and tags of the console and of apps. Handlers take (what was given, the calling app)."""

    def __init__(self, db: sqlite3.Connection, world: World) -> None:
        self._db, self._world = db, world
        self._db.executescript(_SCHEMA)

    def groups(self) -> dict[str, dict[str, Any]]:
        """group_id -> group with its tags: those of the world, made in the admin console, then those of apps."""
        groups: dict[str, dict[str, Any]] = {}

        def group(group_id: str, name: str, order: int, created: int, app: str) -> dict[str, Any]:
            made = {
                "group_id": group_id,
                "group_name": name,
                "create_time": created,
                "order": order,
                "tag": [],
                "app": app,
            }
            return groups.setdefault(group_id, made)

        for row in self._world.corp_tags():
            tag = {
                "id": row["tag_id"],
                "name": row["tag_name"],
                "create_time": row["create_time"],
                "order": row["order"],
            }
            made = group(row["group_id"], row["group_name"], 0, row["create_time"], "console")
            made["tag"].append({**tag, "app": "console"})
        for row in self._db.execute("select * from tag_group order by create_time"):
            group(row["group_id"], row["group_name"], row["position"], row["create_time"], row["app"])
        for row in self._db.execute("select * from tag order by create_time"):
            tag = {"id": row["tag_id"], "name": row["tag_name"], "create_time": row["create_time"]}
            groups[row["group_id"]]["tag"].append({**tag, "order": row["position"], "app": row["app"]})
        return groups

    def names(self) -> dict[str, dict[str, str]]:
        """tag_id -> its name and the name of its group."""
        return {
            tag["id"]: {"group_name": group["group_name"], "tag_name": tag["name"]}
            for group in self.groups().values()
            for tag in group["tag"]
        }

    def listed(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        """get_corp_tag_list: all, or some groups (which win), or some tags."""
        wanted_groups, wanted_tags = set(given.get("group_id") or []), set(given.get("tag_id") or [])
        found = []
        for group in self.groups().values():
            tags = group["tag"]
            if wanted_groups:
                if group["group_id"] not in wanted_groups:
                    continue
            elif wanted_tags:
                tags = [tag for tag in tags if tag["id"] in wanted_tags]
                if not tags:
                    continue
            found.append({**_public(group), "tag": [_public(tag) for tag in tags]})
        return {"tag_group": found}

    def add(self, given: dict[str, Any], app: str) -> dict[str, Any]:
        """add_corp_tag: into a group that exists or, by its name, a new one."""
        tags, groups = given.get("tag"), self.groups()
        if not isinstance(tags, list) or not tags:
            raise WeComError(40058, "tag must not be empty: a group cannot be without tags")
        names = [checked_name(tag.get("name") if isinstance(tag, dict) else None) for tag in tags]
        group = groups.get(given["group_id"]) if given.get("group_id") else None
        if given.get("group_id") and group is None:
            raise WeComError(40068, "invalid group_id")
        if group is None:
            name = checked_name(given.get("group_name"))
            group = next((g for g in groups.values() if g["group_name"] == name), None)
        taken = {tag["name"] for tag in group["tag"]} if group is not None else set()
        if taken & set(names) or len(set(names)) < len(names):
            raise WeComError(40071, "tag name exists already")
        if len(names) + sum(len(g["tag"]) for g in groups.values()) > MAX_TAGS:
            raise WeComError(40070, "too many tags")
        created = 1_767_225_600 + self._db.execute("select count(*) from tag").fetchone()[0]
        if group is None:
            group_id = _made_up("group", name)
            group = {"group_id": group_id, "group_name": name, "create_time": created, "order": given.get("order", 0)}
            self._db.execute(
                "insert into tag_group values (?, ?, ?, ?, ?)", (group_id, name, group["order"], app, created)
            )
        added = []
        for position, (tag, name) in enumerate(zip(tags, names, strict=True)):
            tag_id, order = _made_up(group["group_id"], name), tag.get("order", 0)
            self._db.execute(
                "insert into tag values (?, ?, ?, ?, ?, ?)",
                (tag_id, group["group_id"], name, order, app, created + position),
            )
            added.append({"id": tag_id, "name": name, "create_time": created + position, "order": order})
        return {"tag_group": {**_public(group), "tag": added}}

    def edit(self, given: dict[str, Any], app: str) -> dict[str, Any]:
        """edit_corp_tag: a tag or a group; only those of the calling app."""
        self._own(given.get("id"), app)
        if given.get("name") is not None:
            values = (checked_name(given["name"]), given["id"])
            self._db.execute("update tag set tag_name = ? where tag_id = ?", values)
            self._db.execute("update tag_group set group_name = ? where group_id = ?", values)
        return {}

    def delete(self, given: dict[str, Any], app: str) -> dict[str, Any]:
        """del_corp_tag: tags or groups; only those of the calling app. Marks go with them."""
        for tag_id in [*given.get("tag_id", []), *given.get("group_id", [])]:
            self._own(tag_id, app)
        for tag_id in given.get("tag_id", []):
            self._db.execute("delete from mark where tag_id = ?", (tag_id,))
            self._db.execute("delete from tag where tag_id = ?", (tag_id,))
        for group_id in given.get("group_id", []):
            self._db.execute(
                "delete from mark where tag_id in (select tag_id from tag where group_id = ?)", (group_id,)
            )
            self._db.execute("delete from tag where group_id = ?", (group_id,))
            self._db.execute("delete from tag_group where group_id = ?", (group_id,))
        return {}

    def _own(self, wanted: Any, app: str) -> None:
        groups = self.groups().values()
        makers = {group["group_id"]: group["app"] for group in groups}
        makers |= {tag["id"]: tag["app"] for group in groups for tag in group["tag"]}
        if wanted not in makers:
            raise WeComError(40068, "invalid tagid")
        if makers[wanted] != app:
            raise WeComError(301002, "not allowed to operate another agent with this agentid")


def checked_name(name: Any) -> str:
    """A name of a tag or group. Raises WeComError 40058."""
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
        raise WeComError(40058, f"name must have 1 to {MAX_NAME} characters")
    return name


def _public(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "app"}


def _made_up(*parts: str) -> str:
    return "et" + hashlib.sha256("/".join(parts).encode()).hexdigest()[:30]
