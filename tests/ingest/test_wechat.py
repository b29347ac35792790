"""WeChat and WeCom against the demo world's emulators, whose answers fail now and then."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from starlette.applications import Starlette

from cdp.declarations import load
from cdp.errors import ConfigurationError
from cdp.settings import PROJECT_ROOT
from cdp.sources import Source
from demo.emulators.destinations import wecom
from demo.emulators.faults import FaultPlan, Faults
from demo.emulators.sources import wechat_oa
from tests.ingest.conftest import Project
from tests.ingest.trial import Trial

# some requests fail with 500, 503 or 504 and some are told to wait
FAULTS = FaultPlan(error_rate=0.1, throttle_rate=0.05, hang_seconds=0.0)


def declared(name: str) -> Source:
    """The declaration as it ships."""
    return load(PROJECT_ROOT / "ingest" / "sources" / f"{name}.yml", Source).value


def write(project: Project, name: str, rows: list[dict[str, Any]]) -> None:
    """Replace a backing file of the world."""
    project.drop(f"../world/sources/{name}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def follower(n: int, **more: Any) -> dict[str, Any]:
    row = {
        "openid": f"o{n:04}",
        "unionid": f"u{n:04}",
        "subscribe": 1,
        "subscribe_time": 1767225600 + n,
        "nickname": f"昵称{n}",
    }
    return row | {"tagid_list": [1, 2], "remark": "", "updated_at": "2026-01-01T00:00:00Z"} | more


def test_followers_join_change_and_leave(
    project: Project, serve: Callable[[Starlette], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    app = wechat_oa.create_app(
        project.folder / "world", project.folder / "state", Faults({"wechat_oa": FAULTS}), clock=lambda: clock[0]
    )
    for key, value in wechat_oa.environment(serve(app)).items():
        monkeypatch.setenv(key, value)
    source = declared("wechat_oa")
    followers = [follower(n) for n in range(250)]
    write(project, "wechat_oa/followers", followers)
    assert project.load(source).rows == {"followers": 250}
    assert project.load(source).total == 0
    clock[0] += wechat_oa.TOKEN_SECONDS + 1
    followers[7] = follower(7, nickname="改名")
    followers[8] = follower(8, subscribe=0)
    write(project, "wechat_oa/followers", [*followers, follower(250)])
    assert project.load(source).rows == {"followers": 3}
    changed = project.query(
        "select openid, subscribe, nickname from raw.wechat_oa__followers order by _cdp_sequence desc limit 3"
    )
    assert sorted(changed) == [("o0007", 1, "改名"), ("o0008", 0, None), ("o0250", 1, "昵称250")]
    assert project.load(source).total == 0
    monkeypatch.setenv("CDP_WECHAT_OA__SECRET", "wrong-secret-77")
    with pytest.raises(ConfigurationError, match="no access token was given") as caught:
        project.load(source)
    assert "wrong-secret-77" not in caught.value.render()
    assert "CDP_WECHAT_OA__SECRET" in caught.value.fix


def chat(n: int, members: int) -> dict[str, Any]:
    """A group chat of one member of staff, as groupchat/get answers (document 92122)."""
    staff = {"userid": f"staff{n:03}", "type": 1, "join_time": 1767225600, "join_scene": 1, "name": "店员"}
    customers = [
        {
            "userid": f"wm{n}-{m}",
            "type": 2,
            "unionid": f"u{n}-{m}",
            "join_time": 1767225600 + m,
            "join_scene": 3,
            "name": f"客户{m}",
        }
        for m in range(1, members)
    ]
    facts = {"chat_id": f"wr{n}", "name": f"群{n}", "owner": f"staff{n:03}", "create_time": 1767225600, "notice": ""}
    return facts | {"member_list": [staff, *customers]}


def test_relations_tags_and_group_chats(
    project: Project, serve: Callable[[Starlette], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    staff = [f"staff{n:03}" for n in range(120)]
    relations = [
        {
            "userid": staff[n % 120],
            "external_userid": f"wm{n:04}",
            "external_contact": {"external_userid": f"wm{n:04}", "name": f"客户{n}", "type": 1},
            "follow_info": {
                "userid": staff[n % 120],
                "remark": "",
                "createtime": 1767225600,
                "tag_id": ["t1"],
                "state": "fair-1",
            },
            "updated_at": "2026-01-01T00:00:00Z",
        }
        for n in range(330)
    ]
    tag = {
        "group_id": "g1",
        "group_name": "级别",
        "tag_id": "t1",
        "tag_name": "A",
        "order": 1,
        "create_time": 1767225600,
    }
    write(project, "wecom/follow_users", [{"userid": name, "name": name, "department": [1]} for name in staff])
    write(project, "wecom/corp_tags", [tag])
    write(project, "wecom/external_contacts", relations)
    chats = [chat(n, members=3 + n % 2) for n in range(7)]
    write(project, "wecom/group_chats", chats)
    app = wecom.create_app(project.folder / "world", project.folder / "state", Faults({"wecom": FAULTS}))
    for key, value in wecom.environment(serve(app)).items():
        monkeypatch.setenv(key, value)
    source = declared("wecom")
    monkeypatch.setattr("ingest.sources.wecom.CHATS_A_PAGE", 3)
    assert project.load(source).rows == {"external_contacts": 330, "corp_tags": 1, "group_members": 24}
    assert project.load(source).total == 0
    relations[5]["follow_info"] = relations[5]["follow_info"] | {"remark": "大客户"}
    write(project, "wecom/external_contacts", relations)
    chats[6] = chat(6, members=5)
    write(project, "wecom/group_chats", chats)
    assert project.load(source).rows == {"external_contacts": 1, "group_members": 2}
    joined = "select chat_name, owner, member_type, unionid, name, join_scene from raw.wecom__group_members"
    assert project.query(f"{joined} where chat_id = 'wr6' and userid = 'wm6-4'") == [
        ("群6", "staff006", 2, "u6-4", "客户4", 3)
    ]
    # one customer leaves, one comes back, a chat is dissolved: who left is told once, when somebody looked
    chats[5] = chat(5, members=3)
    back = chat(6, members=5)
    back["member_list"][2]["join_time"] += 86400
    write(project, "wecom/group_chats", [*chats[1:6], back])
    project = replace(project, settings=project.settings.model_copy(update={"as_of": "2026-03-01T08:00:00"}))
    assert project.load(source).rows == {"group_members": 5}
    left = "select chat_id, userid, left_at at time zone 'UTC' from raw.wecom__group_members where left_at is not null order by 1, 2"
    seen = datetime(2026, 3, 1, 8)  # noqa: DTZ001
    gone = [("wr0", "staff000", seen), ("wr0", "wm0-1", seen), ("wr0", "wm0-2", seen), ("wr5", "wm5-3", seen)]
    assert project.query(left) == gone
    assert project.load(source).total == 0
    write(project, "wecom/group_chats", [*chats[1:5], chat(5, members=4), back])
    assert project.load(source).rows == {"group_members": 1}, "who comes back is told again"
    assert project.query(left) == gone
    conformed = Trial(project.settings.model_copy(update={"project_root": PROJECT_ROOT})).conformed("wecom")
    joined_at = datetime(2026, 1, 1, 0, 0, 1)  # noqa: DTZ001
    assert ("wr0", "wm0-1", joined_at, "群0", "staff000", "qr_code", seen) in conformed["group_membership"]
    told = [row[0] for row in conformed["event"] if row[2] == "WeCom Group Left"]
    assert told == [
        f"group_left/{c}/{c.replace('r', 'm')}-{m}/{1767225600 + m}" for c, m in (("wr0", 1), ("wr0", 2), ("wr5", 3))
    ]
    found = project.query(
        "select userid, external_userid, follow_info ->> '$.remark' from raw.wecom__external_contacts order by _cdp_sequence desc limit 1"
    )
    assert found == [("staff005", "wm0005", "大客户")]
    assert project.query("select tag_id, group_name from raw.wecom__corp_tags") == [("t1", "级别")]
