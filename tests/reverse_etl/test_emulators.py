"""The emulated vendors keep their vendors' contracts, so that a sync which passes here has met the real limits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.emulators.destinations import hubspot, wecom
from tests.reverse_etl.conftest import Project, Script, Vendor, serving
from tests.reverse_etl.test_wecom_sync import CONSOLE_TAG, OTHER_SECRET, OUR_SECRET, Corp, corp, write_world

__all__ = ["corp"]

UPSERT = "/crm/v3/objects/contacts/batch/upsert"


def ask(portal: Vendor, method: str, path: str, body: Any = None, token: str = hubspot.TOKEN) -> httpx.Response:
    with httpx.Client(base_url=portal.url, headers={"Authorization": f"Bearer {token}"}) as http:
        return http.request(method, path, json=body)


def contact(email: str, trace: str | None = None, **properties: Any) -> dict[str, Any]:
    made = {"id": email, "idProperty": "email", "properties": {"email": email, **properties}}
    return {**made, "objectWriteTraceId": trace} if trace else made


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "inputs must be a list"),
        ([contact(f"p{n}@example.com") for n in range(101)], "No more than 100"),
        ([contact("a@example.com", firstname=1)], "java.lang.String"),
        ([contact("a@example.com"), contact("A@example.com")], "Duplicate IDs"),
        ([{"id": "a@example.com", "properties": {}}], "idProperty"),
        ([contact("a@example.com", nosuch="x")], "PROPERTY_DOESNT_EXIST"),
        ([contact("a@example.com"), contact("not an address")], "INVALID_EMAIL"),
        ([contact("a@example.com", lifecyclestage="friend")], "INVALID_OPTION"),
    ],
)
def test_hubspot_refuses_a_wrong_batch_whole(portal: Vendor, inputs: list[Any], message: str) -> None:
    answer = ask(portal, "POST", UPSERT, {"inputs": inputs})
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
    assert message in answer.json()["message"]
    assert portal.query("select count(*) from contact") == [(0,)]


def test_hubspot_answers_207_and_names_the_rows_when_inputs_are_marked(portal: Vendor) -> None:
    rows = [contact("a@example.com", "t1"), contact("bad", "t2"), contact("c@example.com", "t3", lifecyclestage="x")]
    answer = ask(portal, "POST", UPSERT, {"inputs": rows})
    body = answer.json()
    assert (answer.status_code, body["numErrors"]) == (207, 2)
    assert [error["context"]["objectWriteTraceId"] for error in body["errors"]] == [["t2"], ["t3"]]
    assert [(r["objectWriteTraceId"], r["new"], r["id"]) for r in body["results"]] == [("t1", True, "1")]
    again = ask(portal, "POST", UPSERT, {"inputs": rows[:1]}).json()
    assert [(r["new"], r["id"]) for r in again["results"]] == [(False, "1")]


def test_hubspot_keeps_the_later_stage_and_clears_with_empty_text(portal: Vendor) -> None:
    for stage, city in (("customer", "Köln"), ("lead", "")):
        ask(portal, "POST", UPSERT, {"inputs": [contact("a@example.com", lifecyclestage=stage, city=city)]})
    held = ask(portal, "GET", "/crm/v3/objects/contacts").json()["results"][0]["properties"]
    assert held["lifecyclestage"] == "customer"
    assert "city" not in held


def test_hubspot_read_archive_and_pages(portal: Vendor) -> None:
    ask(portal, "POST", UPSERT, {"inputs": [contact(f"p{n}@example.com") for n in range(3)]})
    wanted = {"idProperty": "email", "properties": ["email"], "inputs": [{"id": "P1@example.com"}, {"id": "gone@x.y"}]}
    found = ask(portal, "POST", "/crm/v3/objects/contacts/batch/read", wanted)
    assert (found.status_code, [r["id"] for r in found.json()["results"]]) == (207, ["2"])
    assert found.json()["errors"][0]["context"]["ids"] == ["gone@x.y"]
    assert ask(portal, "POST", "/crm/v3/objects/contacts/batch/archive", {"inputs": [{"id": "2"}]}).status_code == 204
    page = ask(portal, "GET", "/crm/v3/objects/contacts?limit=1").json()
    assert page["paging"]["next"]["after"] == "1"
    rest = ask(portal, "GET", "/crm/v3/objects/contacts?limit=100&after=1").json()
    assert [r["id"] for r in rest["results"]] == ["3"]
    assert "paging" not in rest


def test_hubspot_properties(portal: Vendor) -> None:
    made = {"name": "cdp_x", "label": "X", "type": "number", "fieldType": "number", "groupName": "g"}
    path = "/crm/v3/properties/contacts"
    assert ask(portal, "POST", path, made).status_code == 400, "its group must exist"
    assert ask(portal, "POST", f"{path}/groups", {"name": "g", "label": "G"}).status_code == 201
    assert [ask(portal, "POST", path, made).status_code for _ in range(2)] == [201, 409]
    wrong = ask(portal, "POST", UPSERT, {"inputs": [contact("a@example.com", cdp_x="many")]})
    assert "INVALID_LONG" in wrong.json()["message"]


def test_hubspot_refuses_a_wrong_token_and_too_many_calls(tmp_path: Path) -> None:
    with serving(hubspot.create_app(tmp_path, tmp_path / "state", Script(), burst_limit=3)) as url:
        portal = Vendor(url, tmp_path / "state" / "hubspot.sqlite", Script())
        refused = ask(portal, "GET", "/crm/v3/properties/contacts", token="wrong")
        assert (refused.status_code, refused.json()["category"]) == (401, "INVALID_AUTHENTICATION")
        answers = [ask(portal, "GET", "/crm/v3/properties/contacts") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 11


def test_hubspot_remembers_over_a_restart(tmp_path: Path) -> None:
    for attempt in range(2):
        with serving(hubspot.create_app(tmp_path, tmp_path / "state", Script())) as url:
            portal = Vendor(url, tmp_path / "state" / "hubspot.sqlite", Script())
            if attempt == 0:
                ask(portal, "POST", UPSERT, {"inputs": [contact("a@example.com")]})
            assert len(ask(portal, "GET", "/crm/v3/objects/contacts").json()["results"]) == 1


def test_wecom_refuses_what_its_contract_refuses(corp: Corp, project: Project) -> None:
    made = corp.post("add_corp_tag", {"group_name": "ours", "tag": [{"name": "a"}, {"name": "b"}]})["tag_group"]
    ours = made["tag"][0]["id"]
    mark = {"userid": "zhang", "external_userid": "wmA", "add_tag": [ours], "remove_tag": []}
    cases: list[tuple[str, dict[str, Any], int]] = [
        ("mark_tag", {**mark, "add_tag": []}, 40058),
        ("mark_tag", {**mark, "userid": "nobody"}, 60111),
        ("mark_tag", {**mark, "external_userid": "wmX"}, 40096),
        ("mark_tag", {**mark, "external_userid": "wmC"}, 84061),
        ("mark_tag", {**mark, "add_tag": ["etNo"]}, 40068),
        ("mark_tag", mark, 0),
        ("add_corp_tag", {"group_name": "ours", "tag": []}, 40058),
        ("add_corp_tag", {"group_name": "ours", "tag": [{"name": "a"}]}, 40071),
        ("add_corp_tag", {"group_name": "ours", "tag": [{"name": "x" * 31}]}, 40058),
        ("add_corp_tag", {"group_name": "ours", "tag": [{"name": f"t{n}"} for n in range(3000)]}, 40070),
        ("edit_corp_tag", {"id": CONSOLE_TAG, "name": "mine"}, 301002),
        ("del_corp_tag", {"tag_id": [CONSOLE_TAG]}, 301002),
        ("edit_corp_tag", {"id": ours, "name": "renamed"}, 0),
        ("batch/get_by_user", {"userid_list": [], "limit": 100}, 40058),
        ("batch/get_by_user", {"userid_list": ["zhang"], "limit": 101}, 40058),
        ("batch/get_by_user", {"userid_list": ["zhang"] * 101, "limit": 100}, 40058),
    ]
    for name, body, errcode in cases:
        assert (name, body, corp.post(name, body)["errcode"]) == (name, body, errcode)
    assert corp.post("edit_corp_tag", {"id": ours, "name": "stolen"}, OTHER_SECRET)["errcode"] == 301002
    assert corp.post("del_corp_tag", {"tag_id": [ours]})["errcode"] == 0
    assert corp.tags()["zhang", "wmA"] == ["客户意向/vip"], "the mark goes with the tag"


def test_wecom_tokens(corp: Corp) -> None:
    assert corp.get("gettoken", corpid="other", corpsecret=OUR_SECRET)["errcode"] == 40013
    assert corp.get("gettoken", corpid=wecom.CORPID, corpsecret="no")["errcode"] == 40001
    assert corp.get("externalcontact/get_follow_user_list")["errcode"] == 41001
    assert corp.get("externalcontact/get_follow_user_list", access_token="no")["errcode"] == 40014
    assert corp.token() == corp.token(), "one token at a time"


def test_wecom_reads_pages_and_shows_what_was_marked(corp: Corp, tmp_path: Path) -> None:
    tag = corp.post("add_corp_tag", {"group_name": "ours", "tag": [{"name": "a"}]})["tag_group"]["tag"][0]["id"]
    corp.post("mark_tag", {"userid": "zhang", "external_userid": "wmA", "add_tag": [tag], "remove_tag": [CONSOLE_TAG]})
    token = corp.token()
    assert corp.get("externalcontact/get_follow_user_list", access_token=token)["follow_user"] == ["li", "zhang"]
    assert corp.get("externalcontact/list", access_token=token, userid="li")["external_userid"] == ["wmA", "wmC"]
    one = corp.get("externalcontact/get", access_token=token, external_userid="wmA")
    shown = [(follow["userid"], [tag["tag_name"] for tag in follow["tags"]]) for follow in one["follow_user"]]
    assert shown == [("li", []), ("zhang", ["a"])]
    seen, cursor = [], ""
    while True:
        page = corp.post("batch/get_by_user", {"userid_list": ["li", "zhang"], "cursor": cursor, "limit": 1})
        for entry in page["external_contact_list"]:
            seen.append((entry["follow_info"]["userid"], entry["external_contact"]["external_userid"]))
        if not (cursor := page["next_cursor"]):
            break
    assert seen == [("li", "wmA"), ("li", "wmC"), ("zhang", "wmA"), ("zhang", "wmB")]
    backing = tmp_path / "world" / "sources" / "wecom" / "external_contacts.jsonl"
    backing.write_text(backing.read_text().replace("wmC", "wmD"))
    assert corp.get("externalcontact/list", access_token=token, userid="li")["external_userid"] == ["wmA", "wmD"]


def test_wecom_takes_no_more_than_five_calls_at_once(tmp_path: Path) -> None:
    write_world(tmp_path / "world" / "sources" / "wecom")
    app = wecom.create_app(tmp_path / "world", tmp_path / "state", Script(), answer_seconds=0.5)

    async def eight(url: str) -> list[int]:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            token = (await http.get("/cgi-bin/gettoken", params=wecom_login())).json()["access_token"]
            path = f"/cgi-bin/externalcontact/get_follow_user_list?access_token={token}"
            answers = await asyncio.gather(*[http.get(path) for _ in range(8)])
            return [answer.json()["errcode"] for answer in answers]

    with serving(app) as url:
        codes = asyncio.run(eight(url))
    assert set(codes) == {0, 45033}
    assert codes.count(0) <= 5


def wecom_login() -> dict[str, str]:
    return {"corpid": wecom.CORPID, "corpsecret": OUR_SECRET}
