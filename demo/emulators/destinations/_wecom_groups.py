"""Group chats of customers: which there are, and who is in one.

Contract: developer.work.weixin.qq.com, documents 92120 (groupchat/list) and 92122 (groupchat/get). Chats are rows of the world's
`wecom/group_chats.jsonl`, each as groupchat/get answers it; without the file there are none.
"""

from __future__ import annotations

from typing import Any

from demo.emulators.destinations._wecom_world import WeComError, World

MOST_CHATS, MOST_OWNERS = 1000, 100


class GroupChats:
    """Handlers take (what was given, the calling app)."""

    def __init__(self, world: World) -> None:
        self._world = world

    def listed(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        """groupchat/list: chats of some members of staff, page by page; `limit` must be there."""
        limit, cursor = given.get("limit"), given.get("cursor") or "0"
        owners = (given.get("owner_filter") or {}).get("userid_list") or []
        if not isinstance(limit, int) or not 1 <= limit <= MOST_CHATS:
            raise WeComError(40058, "limit must be 1 to 1000")
        if len(owners) > MOST_OWNERS:
            raise WeComError(40058, "userid_list must hold at most 100 userids")
        if not str(cursor).isdigit():
            raise WeComError(40058, "invalid cursor")
        chats = [chat for chat in self._world.group_chats().values() if not owners or chat["owner"] in owners]
        start = int(cursor)
        page = [{"chat_id": chat["chat_id"], "status": 0} for chat in chats[start : start + limit]]
        following = {"next_cursor": str(start + limit)} if len(chats) > start + limit else {}
        return {"group_chat_list": page, **following}

    def told(self, given: dict[str, Any], _app: str) -> dict[str, Any]:
        """groupchat/get: one chat with its members; their names only with `need_name`."""
        chat = self._world.group_chats().get(str(given.get("chat_id")))
        if chat is None:
            raise WeComError(40050, "invalid chatid")
        hidden = () if given.get("need_name") == 1 else ("name",)
        members = [{k: v for k, v in member.items() if k not in hidden} for member in chat["member_list"]]
        return {"group_chat": {**chat, "member_list": members}}
