"""WeCom's remarks and mass messages, through the engine; tags are tested in test_wecom_sync.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.emulators.destinations import _wecom_messages, wecom
from demo.emulators.destinations._wecom_world import World
from demo.emulators.faults import Fault
from reverse_etl import engine
from reverse_etl.catalog import destination
from reverse_etl.ledger import Ledger
from tests.reverse_etl.conftest import Project
from tests.reverse_etl.destinations.shared import account, batch, statuses
from tests.reverse_etl.test_wecom_sync import Corp, corp, write_world

__all__ = ["corp"]

AS_OF = "2026-03-01T00:00:00"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOTES = {
    "userid": "varchar", "external_userid": "varchar", "remark": "varchar", "note": "varchar", "company": "varchar",
    "mobiles": "varchar[]",
}  # fmt: skip
NOTES_SYNC = """
name: notes
description: Remarks of the tests.
owner: tests
source: snd_wecom__notes
destination: wecom
object: contact_remarks
key: [userid, external_userid]
mode: upsert
fields:
  userid: userid
  external_userid: external_userid
  remark: {column: remark, write: if_empty}
  description: note
  remark_company: company
  remark_mobiles: mobiles
consent_purpose: service
schedule: "15 * * * *"
limits: {max_change_percent: 100}
"""
LETTERS = {
    "id": "varchar",
    "person_id": "varchar",
    "sender": "varchar",
    "external_userid": "varchar",
    "content": "varchar",
}
LETTERS_SYNC = """
name: letters
description: Mass messages of the tests.
owner: tests
source: snd_wecom__letters
destination: wecom
object: mass_messages
key: id
person: person_id
mode: append
fields: {sender: sender, external_userid: external_userid, content: content, link_url: {value: "https://lumen.example/x"}}
consent_purpose: marketing_wechat
schedule: "15 * * * *"
"""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Any]:
    write_world(tmp_path / "sources" / "wecom")
    with account(wecom, tmp_path) as made:
        yield made


def notes(corp: Corp) -> dict[tuple[str, str], tuple[Any, ...]]:
    page = corp.post("batch/get_by_user", {"userid_list": ["zhang", "li"], "cursor": "", "limit": 100})
    names = ("remark", "description", "remark_corp_name", "remark_mobiles")
    return {
        (follow["userid"], each["external_contact"]["external_userid"]): tuple(follow.get(name) for name in names)
        for each in page["external_contact_list"]
        for follow in [each["follow_info"]]
        if any(follow.get(name) for name in names)
    }


def test_remarks_are_noted_and_those_of_staff_are_left_alone(project: Project, corp: Corp) -> None:
    project.contract("snd_wecom__notes", NOTES, "service")
    project.sync("notes", NOTES_SYNC)
    corp.post("remark", {"userid": "li", "external_userid": "wmA", "remark": "by hand"})
    rows = [
        ("zhang", "wmA", "王女士", "VIP，喜欢绿茶", "Lumen", ["+8613800000000"]),
        ("li", "wmA", "ours", "note", None, None),
        ("zhang", "wmC", "no relation", None, None, None),
        ("li", "wmC", "x" * 21, None, None, None),
    ]
    project.fill("snd_wecom__notes", NOTES, rows)
    result = engine.run("notes", project.settings, AS_OF)
    assert (result.created, result.rejected, result.invalid) == (2, 1, 1)
    assert [row.code for row in Ledger(project.settings).open_rows("notes") if row.status == "rejected"] == ["84061"]
    assert notes(corp) == {
        ("zhang", "wmA"): ("王女士", "VIP，喜欢绿茶", "Lumen", ["+8613800000000"]),
        ("li", "wmA"): ("by hand", "note", "", []),
    }
    project.fill("snd_wecom__notes", NOTES, [("zhang", "wmA", "王女士", None, None, None), rows[1]])
    assert engine.run("notes", project.settings, AS_OF).updated == 1
    assert notes(corp)["zhang", "wmA"] == ("王女士", "", "", [])


def want(project: Project, *rows: tuple[str, ...]) -> None:
    project.contract("snd_wecom__letters", LETTERS, "marketing_wechat")
    project.sync("letters", LETTERS_SYNC)
    project.fill("snd_wecom__letters", LETTERS, rows)
    project.consents([(row[1], "marketing_wechat", True) for row in rows])


def test_rows_with_one_sender_and_content_make_one_task(project: Project, corp: Corp) -> None:
    want(
        project,
        ("1", "p1", "zhang", "wmA", "hello"),
        ("2", "p2", "zhang", "wmB", "hello"),
        ("3", "p3", "li", "wmC", "hello"),
        ("4", "p4", "zhang", "wmC", "no relation"),
        ("5", "p5", "li", "wmC", "a second message today"),
        ("6", "p6", "wang", "wmA", "no such member"),
        ("7", "p7", "li", "wmA", "太长" * 700),
    )
    result = engine.run("letters", project.settings, AS_OF, clock=lambda: NOON)
    assert (result.appended, result.rejected) == (3, 4)
    tasks = corp.query(
        "select sender, content, count(external_userid) from task left join task_customer using (msgid) group by no order by 1, 2"
    )
    assert tasks == [
        # "a second message today" comes first: contents go out in their order, and a customer gets one a day.
        ("li", "a second message today", 1), ("li", "hello", 0), ("zhang", "hello", 2), ("zhang", "no relation", 0),
    ]  # fmt: skip
    codes = sorted(row.code for row in Ledger(project.settings).open_rows("letters"))
    assert codes == ["60111", "fail_list", "fail_list", "too_long"]
    assert set(codes) <= set(destination("wecom").errors)


def test_our_own_cap_holds_messages_back_before_they_cost_one_of_wecoms(project: Project, corp: Corp) -> None:
    want(project, ("1", "p1", "zhang", "wmA", "hello"), ("2", "p1", "zhang", "wmB", "hello"))
    policy = project.settings.project_root / "reverse_etl" / "messages.yml"
    policy.write_text("timezone: Asia/Shanghai\ncaps: [{channels: [wechat], at_most: 1, per: day}]\n")
    first = engine.run("letters", project.settings, AS_OF, clock=lambda: NOON)
    assert (first.appended, first.suppressed) == (1, 1)
    second = engine.run("letters", project.settings, AS_OF, clock=lambda: NOON + timedelta(days=1))
    assert (second.appended, second.suppressed) == (1, 0)


@pytest.mark.parametrize("arrived", [True, False])
def test_a_task_whose_answer_was_lost_is_looked_for(project: Project, corp: Corp, arrived: bool) -> None:
    want(project, *[(str(n), f"p{n}", "zhang", customer, "hello") for n, customer in enumerate(("wmA", "wmB"))])
    corp.script.rule = lambda number, path: (
        Fault(500, after_effect=arrived) if path.endswith("add_msg_template") else None
    )
    first = engine.run("letters", project.settings, AS_OF, clock=lambda: NOON)
    assert (first.in_doubt, corp.calls("%add_msg_template")) == (2, 1), "not asked again"
    corp.script.rule = None
    second = engine.run("letters", project.settings, AS_OF, clock=lambda: NOON)
    assert second.appended == (0 if arrived else 2)
    assert corp.query("select count(*) from task") == [(1,)], "one task, whatever was lost"
    assert corp.calls("%get_groupmsg_list_v2") == 1
    assert engine.run("letters", project.settings, AS_OF, clock=lambda: NOON).sent == 0


def test_records_that_cannot_be_read_leave_the_doubt(there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"sender": "zhang", "external_userid": "wmA", "content": "hello"}
    assert statuses(there.client.write(batch("mass_messages", [row], "append", "append")), batch("m", [row])) == [
        "succeeded"
    ]

    def refuse(self: Any, given: Any) -> Any:
        raise _wecom_messages.WeComError(41047, "invalid msgid")

    monkeypatch.setattr(_wecom_messages.MassMessages, "_task", refuse)
    asked = batch("mass_messages", [row, {**row, "content": "never sent"}], "append", "append")
    assert there.client.read_back(asked) == {"r1": None}, "the first is not known, the second was certainly not sent"


def test_more_customers_than_a_task_takes_are_split(there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverse_etl.destinations.wecom.mass_messages._CUSTOMERS_A_TASK", 1)
    rows = [{"sender": "zhang", "external_userid": customer, "content": "hello"} for customer in ("wmA", "wmB")]
    both = batch("mass_messages", rows, "append", "append")
    result = there.client.write(both)
    assert statuses(result, both) == ["succeeded", "succeeded"]
    assert result.outcome("r0").request_id != result.outcome("r1").request_id


@pytest.mark.parametrize(("daily_cap", "delivered"), [(None, 28), (1, 1)])
def test_the_vendors_caps_a_month_and_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, daily_cap: int | None, delivered: int
) -> None:
    write_world(tmp_path)
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    monkeypatch.setattr(_wecom_messages.time, "time", lambda: datetime(2026, 2, 10, tzinfo=UTC).timestamp())
    messages = _wecom_messages.MassMessages(db, World(tmp_path), daily_cap)
    body = {"chat_type": "single", "external_userid": ["wmA"], "sender": "zhang", "text": {"content": "x"}}
    failed = [len(messages.create(body, "app")["fail_list"]) for _ in range(30)]
    assert failed == [0] * delivered + [1] * (30 - delivered), "February has 28 days"


@pytest.mark.parametrize(
    ("name", "body", "errcode"),
    [
        ("remark", {"userid": "zhang", "external_userid": "wmA"}, 40058),
        ("remark", {"userid": "zhang", "external_userid": "wmA", "remark": "x" * 21}, 40058),
        ("remark", {"userid": "zhang", "external_userid": "wmC", "remark": "x"}, 84061),
        ("add_msg_template", {"external_userid": [], "sender": "zhang", "text": {"content": "x"}}, 40058),
        ("add_msg_template", {"external_userid": ["wmA"], "sender": "zhang"}, 40058),
        ("add_msg_template", {"external_userid": ["wmA"], "sender": "zhang", "text": {"content": "太" * 1334}}, 40058),
        ("get_groupmsg_list_v2", {"chat_type": "single"}, 40058),
        ("get_groupmsg_list_v2", {"chat_type": "single", "start_time": 0, "end_time": 32 * 86_400}, 40058),
        ("get_groupmsg_send_result", {"msgid": "nosuch", "userid": "zhang"}, 41047),
    ],
)
def test_the_emulator_refuses_what_the_contract_refuses(
    corp: Corp, name: str, body: dict[str, Any], errcode: int
) -> None:
    assert corp.post(name, body)["errcode"] == errcode
