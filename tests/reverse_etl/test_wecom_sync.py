"""Tags of follow relations against the emulated WeCom, which is also read as a source."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import wecom
from demo.emulators.faults import Fault
from reverse_etl import engine
from reverse_etl.ledger import Ledger
from tests.reverse_etl.conftest import Project, Script, Vendor, serving

AS_OF = "2026-03-01T00:00:00"
COLUMNS = {"userid": "varchar", "external_userid": "varchar", "tag_name": "varchar"}
SYNC = """
name: tags
description: Tags of the tests.
owner: tests
source: snd_wecom__contact_tags
destination: wecom
object: contact_tags
key: [userid, external_userid, tag_name]
mode: mirror
fields: {userid: userid, external_userid: external_userid, tag_name: tag_name}
consent_purpose: service
schedule: "15 * * * *"
limits: {max_change_percent: 100}
"""
CONSOLE_TAG = "etCONSOLE"
OUR_SECRET, OTHER_SECRET = wecom.APPS


def write_world(folder: Path) -> None:
    """Two members of staff, three customers, four relations; one relation has a tag that somebody set by hand."""
    folder.mkdir(parents=True, exist_ok=True)

    def lines(name: str, rows: list[dict[str, Any]]) -> None:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))

    lines("follow_users", [{"userid": "zhang", "name": "张", "department": [1]}, {"userid": "li", "name": "李"}])
    lines(
        "corp_tags",
        [
            {"group_id": "g1", "group_name": "客户意向", "tag_id": CONSOLE_TAG, "tag_name": "vip", "order": 0,
             "create_time": 1},
        ],
    )  # fmt: skip
    pairs = [("zhang", "wmA"), ("li", "wmA"), ("zhang", "wmB"), ("li", "wmC")]
    lines(
        "external_contacts",
        [
            {
                "userid": user, "external_userid": external,
                "external_contact": {"external_userid": external, "name": external, "type": 1},
                "follow_info": {"userid": user, "tag_id": [CONSOLE_TAG] if (user, external) == pairs[0] else []},
                "updated_at": "2026-01-01T00:00:00Z",
            }
            for user, external in pairs
        ],
    )  # fmt: skip


class Corp(Vendor):
    """The running emulator, with the calls a reader would make."""

    def get(self, name: str, **query: Any) -> dict[str, Any]:
        with httpx.Client(base_url=self.url) as http:
            return dict(http.get(f"/cgi-bin/{name}", params=query).json())

    def token(self, secret: str = OUR_SECRET) -> str:
        return str(self.get("gettoken", corpid=wecom.CORPID, corpsecret=secret)["access_token"])

    def post(self, name: str, body: dict[str, Any], secret: str = OUR_SECRET) -> dict[str, Any]:
        query = {"access_token": self.token(secret)}
        with httpx.Client(base_url=self.url) as http:
            return dict(http.post(f"/cgi-bin/externalcontact/{name}", params=query, json=body).json())

    def tags(self) -> dict[tuple[str, str], list[str]]:
        """Names of the tags of every relation, as a source would read them."""
        library = self.post("get_corp_tag_list", {})["tag_group"]
        names = {tag["id"]: f"{group['group_name']}/{tag['name']}" for group in library for tag in group["tag"]}
        page = self.post("batch/get_by_user", {"userid_list": ["zhang", "li"], "cursor": "", "limit": 100})
        return {
            (entry["follow_info"]["userid"], entry["external_contact"]["external_userid"]): sorted(
                names[tag_id] for tag_id in entry["follow_info"]["tag_id"]
            )
            for entry in page["external_contact_list"]
        }


@pytest.fixture
def corp(tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Corp]:
    script = Script()
    write_world(tmp_path / "world" / "sources" / "wecom")
    with serving(wecom.create_app(tmp_path / "world", tmp_path / "emulators", script)) as url:
        for name, value in wecom.environment(url).items():
            monkeypatch.setenv(name, value)
        project.contract("snd_wecom__contact_tags", COLUMNS, "service")
        project.sync("tags", SYNC)
        yield Corp(url, tmp_path / "emulators" / "wecom.sqlite", script)


def want(project: Project, *rows: tuple[str, str, str]) -> None:
    project.fill("snd_wecom__contact_tags", COLUMNS, rows)


def test_tags_are_created_put_on_and_taken_off_and_those_of_others_stay(project: Project, corp: Corp) -> None:
    want(project, ("zhang", "wmA", "vip"), ("zhang", "wmA", "segment: 冠军"), ("zhang", "wmB", "vip"))
    first = engine.run("tags", project.settings, AS_OF)
    assert (first.created, first.ok) == (3, True)
    assert corp.calls("%mark_tag") == 2, "one call for each relation, with all its tags"
    assert corp.tags()["zhang", "wmA"] == ["Tributary/segment: 冠军", "Tributary/vip", "客户意向/vip"]
    calls = corp.calls()
    assert engine.run("tags", project.settings, AS_OF).sent == 0
    assert corp.calls() == calls
    want(project, ("zhang", "wmA", "segment: 冠军"), ("li", "wmC", "new"))
    second = engine.run("tags", project.settings, AS_OF)
    assert (second.created, second.deleted) == (1, 2)
    assert corp.tags() == {
        ("zhang", "wmA"): ["Tributary/segment: 冠军", "客户意向/vip"], ("li", "wmA"): [], ("zhang", "wmB"): [],
        ("li", "wmC"): ["Tributary/new"],
    }  # fmt: skip


def test_rows_that_wecom_refuses_are_rejected_alone(project: Project, corp: Corp) -> None:
    want(
        project, ("zhang", "wmA", "good"), ("zhang", "wmC", "no relation"), ("zhang", "wmZ", "no such customer"),
        ("wang", "wmA", "no such member"), ("li", "wmA", "x" * 31),
    )  # fmt: skip
    result = engine.run("tags", project.settings, AS_OF)
    assert (result.created, result.rejected, result.invalid) == (1, 3, 1)
    reasons = sorted(failure.reason for failure in Ledger(project.settings).open_rows("tags"))
    assert [reason.split(":")[0] for reason in reasons] == [
        "errcode 40096", "errcode 60111", "errcode 84061", "tag_name",
    ]  # fmt: skip


def test_a_tag_of_a_relation_that_has_ended_counts_as_taken_off(project: Project, corp: Corp, tmp_path: Path) -> None:
    want(project, ("zhang", "wmB", "vip"), ("zhang", "wmA", "vip"))
    engine.run("tags", project.settings, AS_OF)
    backing = tmp_path / "world" / "sources" / "wecom" / "external_contacts.jsonl"
    kept = [line for line in backing.read_text().splitlines() if '"wmB"' not in line]
    backing.write_text("\n".join(kept) + "\n")
    want(project, ("zhang", "wmA", "vip"))
    assert engine.run("tags", project.settings, AS_OF).deleted == 1


@pytest.mark.parametrize(
    ("loss", "errcode"), [("delete from token", 40014), ("update token set expires_at = 0", 42001)]
)
def test_a_token_that_ends_early_is_fetched_anew(project: Project, corp: Corp, loss: str, errcode: int) -> None:
    want(project, ("zhang", "wmA", "t0"), ("li", "wmC", "t0"), ("zhang", "wmB", "t0"))
    marks = 0

    def lose_before_the_second_mark(number: int, path: str) -> Fault | None:
        nonlocal marks
        marks += path.endswith("mark_tag")
        if path.endswith("mark_tag") and marks == 2:
            with contextlib.closing(sqlite3.connect(corp.database)) as con, con:
                con.execute(loss)
        return None

    corp.script.rule = lose_before_the_second_mark
    assert engine.run("tags", project.settings, AS_OF).created == 3
    assert corp.query("select errcode, count(*) from call where errcode <> 0 group by errcode") == [(errcode, 1)]


@pytest.mark.parametrize("fault", [Fault(429), Fault(502), Fault(500, after_effect=True)])
def test_limits_and_lost_answers_are_outlasted(project: Project, corp: Corp, fault: Fault) -> None:
    want(project, *[(user, external, "t") for user, external in (("zhang", "wmA"), ("li", "wmA"), ("zhang", "wmB"))])
    corp.script.rule = lambda number, path: fault if number % 2 else None
    assert engine.run("tags", project.settings, AS_OF).created == 3
    assert engine.run("tags", project.settings, AS_OF).sent == 0


def test_a_wrong_secret_names_the_setting(project: Project, corp: Corp, monkeypatch: pytest.MonkeyPatch) -> None:
    want(project, ("zhang", "wmA", "t"))
    monkeypatch.setenv("CDP_WECOM__CORPSECRET", "wrong")
    with pytest.raises(ConfigurationError, match="the secret is wrong"):
        engine.run("tags", project.settings, AS_OF)


def test_many_tags_are_created_in_calls_of_100(project: Project, corp: Corp) -> None:
    want(project, *[("zhang", "wmA", f"tag {n:03d}") for n in range(250)])
    assert engine.run("tags", project.settings, AS_OF).created == 250
    assert (corp.calls("%add_corp_tag"), corp.calls("%mark_tag")) == (3, 1)
