"""WeCom: staff who serve customers, their customers in batches, the tag library, and who is in which group chat.

Contract of the chats: developer.work.weixin.qq.com, documents 92120 (groupchat/list) and 92122 (groupchat/get).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cdp.settings import Settings, required_connection
from cdp.sources import Source, raw_table
from ingest.kinds.wechat import WeChatApi
from ingest.landing import Lander
from ingest.objects import land_changed, land_objects

STAFF_A_CALL = 100
RELATIONS_A_PAGE = 100
CHATS_A_PAGE = 1000
MEMBER = ("chat_id", "chat_name", "owner", "userid", "member_type", "unionid", "name", "join_time", "join_scene")
IN_A_CHAT = f"""
with told as (
    select {", ".join(MEMBER)}, left_at
    from raw.wecom__group_members
    qualify row_number() over (partition by chat_id, userid order by _cdp_sequence desc) = 1
)

select * exclude (left_at) from told where left_at is null order by chat_id, userid
"""


def resources(dlt: Any, source: Source, settings: Settings, lander: Lander) -> list[Any]:
    """Resources for the tables; only relations, tags and members that changed are landed."""
    keys = required_connection(source.name, source.connection, settings)
    now = settings.resolve_as_of()
    api = WeChatApi(
        source, keys["base_url"], "/cgi-bin/gettoken", {"corpid": keys["corpid"], "corpsecret": keys["corpsecret"]}
    )

    def external_contacts() -> Iterator[Any]:
        staff = sorted(api.call("GET", "/cgi-bin/externalcontact/get_follow_user_list")["follow_user"])
        for start in range(0, len(staff), STAFF_A_CALL):
            cursor = ""
            while True:
                body = {"userid_list": staff[start : start + STAFF_A_CALL], "cursor": cursor, "limit": RELATIONS_A_PAGE}
                page = api.call("POST", "/cgi-bin/externalcontact/batch/get_by_user", body=body)
                rows = [_relation(entry) for entry in page.get("external_contact_list", [])]
                yield from land_changed(dlt, lander, "external_contacts", rows, "externalcontact/batch/get_by_user")
                cursor = page.get("next_cursor", "")
                if not cursor:
                    break

    def corp_tags() -> Iterator[Any]:
        answer = api.call("POST", "/cgi-bin/externalcontact/get_corp_tag_list", body={})
        rows = [
            {
                "group_id": group["group_id"],
                "group_name": group["group_name"],
                "tag_id": tag["id"],
                "tag_name": tag["name"],
            }
            for group in answer.get("tag_group", [])
            for tag in group.get("tag", [])
        ]
        yield from land_changed(dlt, lander, "corp_tags", rows, "externalcontact/get_corp_tag_list")

    def group_members() -> Iterator[Any]:
        """WeCom tells who is in a chat, and of nobody that they left: whoever was in one as far as the warehouse knows, and is
        not any more (or the chat is gone), lands once more with the "now" of this reading as `left_at`."""
        cursor, there = "", set[tuple[Any, Any]]()
        while True:
            asked = {"status_filter": 0, "cursor": cursor, "limit": CHATS_A_PAGE}
            page = api.call("POST", "/cgi-bin/externalcontact/groupchat/list", body=asked)
            for listed in page.get("group_chat_list", []):
                one = {"chat_id": listed["chat_id"], "need_name": 1}
                answer = api.call("POST", "/cgi-bin/externalcontact/groupchat/get", body=one)
                rows = [_member(answer["group_chat"], member) for member in answer["group_chat"].get("member_list", [])]
                there.update((row["chat_id"], row["userid"]) for row in rows)
                yield from land_changed(dlt, lander, "group_members", rows, "externalcontact/groupchat/get")
            cursor = page.get("next_cursor", "")
            if not cursor:
                break
        known = [dict(zip(MEMBER, row, strict=True)) for row in lander.ask(IN_A_CHAT, [])]
        left = [row | {"left_at": f"{now}Z"} for row in known if (row["chat_id"], row["userid"]) not in there]
        yield from land_objects(dlt, lander, "group_members", left, "who is in no chat any more")

    return [
        dlt.resource(read, name=raw_table(source.name, read.__name__), write_disposition="append")()
        for read in (external_contacts, corp_tags, group_members)
    ]


def _relation(entry: dict[str, Any]) -> dict[str, Any]:
    contact, follow = entry.get("external_contact", {}), entry.get("follow_info", {})
    return {
        "userid": follow.get("userid"),
        "external_userid": contact.get("external_userid"),
        "external_contact": contact,
        "follow_info": follow,
    }


def _member(chat: dict[str, Any], member: dict[str, Any]) -> dict[str, Any]:
    return {
        "chat_id": chat["chat_id"],
        "chat_name": chat.get("name"),
        "owner": chat.get("owner"),
        "userid": member.get("userid"),
        "member_type": member.get("type"),
        "unionid": member.get("unionid"),
        "name": member.get("name"),
        "join_time": member.get("join_time"),
        "join_scene": member.get("join_scene"),
    }
