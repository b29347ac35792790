"""The emulated sources over real HTTP: paging, authentication, limits, faults, and rows that appear while they run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from demo.emulators.faults import Fault, FaultPlan, Faults, Outage, RateLimit
from demo.emulators.sources import crm, support, wechat_oa
from demo.world import advance, read_summary
from tests.demo import reading

Serve = Callable[[Starlette], str]
CRM_AUTH = {"Authorization": f"Bearer {crm.TOKEN}"}
SUPPORT_AUTH = (f"{support.EMAIL}/token", support.TOKEN)


def crm_pages(base: str, name: str, **query: Any) -> list[list[dict[str, Any]]]:
    """Every page of an object, followed by cursor."""
    pages: list[list[dict[str, Any]]] = []
    while True:
        answer = httpx.get(f"{base}/v1/{name}", params=query, headers=CRM_AUTH, trust_env=False)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        pages.append(body["results"])
        if "next" not in body["paging"]:
            return pages
        assert len(pages) < 1_000, "the cursor does not move on"
        query = {"limit": query.get("limit", 100), "cursor": body["paging"]["next"]["cursor"]}


@pytest.mark.parametrize("limit", [1, 7, 200])
def test_crm_pages_hold_every_row_once_in_order(world: Path, tmp_path: Path, serve: Serve, limit: int) -> None:
    base = serve(crm.create_app(world, tmp_path, Faults()))
    name = "opportunities" if limit == 1 else "leads"
    pages = crm_pages(base, name, limit=limit)
    rows = [row for page in pages for row in page]
    assert rows == reading.read(world, f"crm/{name}").rows
    assert rows == sorted(rows, key=lambda row: (row["updated_at"], row["id"]))
    assert all(len(page) == limit for page in pages[:-1])


def test_crm_updated_since_includes_its_second(world: Path, tmp_path: Path, serve: Serve) -> None:
    base = serve(crm.create_app(world, tmp_path, Faults()))
    rows = reading.read(world, "crm/stage_history").rows
    middle = rows[len(rows) // 2]["updated_at"]
    expected = [row for row in rows if row["updated_at"] >= middle]
    for since in (middle, middle.replace("Z", "+00:00"), middle.replace("Z", ".000Z")):
        found = [row for page in crm_pages(base, "stage_history", updated_since=since, limit=150) for row in page]
        assert found == expected


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ({}, {}, 401, "unauthorized"),
        ({}, {"Authorization": "Bearer other"}, 401, "unauthorized"),
        ({"limit": 201}, CRM_AUTH, 400, "bad_limit"),
        ({"limit": "many"}, CRM_AUTH, 400, "bad_limit"),
        ({"cursor": "x"}, CRM_AUTH, 400, "bad_cursor"),
        ({"updated_since": "yesterday"}, CRM_AUTH, 400, "bad_updated_since"),
    ],
)
def test_crm_refuses(
    world: Path, tmp_path: Path, serve: Serve, query: dict[str, Any], headers: dict[str, str], status: int, code: str
) -> None:
    base = serve(crm.create_app(world, tmp_path, Faults()))
    answer = httpx.get(f"{base}/v1/leads", params=query, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_crm_limits_its_rate_and_says_how_long_to_wait(world: Path, tmp_path: Path, serve: Serve) -> None:
    now = [100.0]
    faults = Faults({"crm": FaultPlan(rate_limit=RateLimit(requests=3, seconds=5))}, clock=lambda: now[0])
    base = serve(crm.create_app(world, tmp_path, faults))

    def ask() -> httpx.Response:
        return httpx.get(f"{base}/v1/accounts", headers=CRM_AUTH, trust_env=False)

    assert [ask().status_code for _ in range(4)] == [200, 200, 200, 429]
    assert ask().headers["Retry-After"] == "5"
    now[0] += 5
    assert ask().status_code == 200


def test_new_rows_are_served_without_a_restart(world: Path, tmp_path: Path, serve: Serve) -> None:
    world = shutil.copytree(world, tmp_path / "world")
    border = read_summary(world).as_of
    base = serve(crm.create_app(world, tmp_path, Faults()))
    before = [row for page in crm_pages(base, "stage_history", limit=200) for row in page]
    advance(world, 3)
    last = before[-1]["updated_at"]
    fresh = [row for page in crm_pages(base, "stage_history", updated_since=last, limit=200) for row in page]
    assert fresh[-1]["updated_at"] >= f"{border:%Y-%m-%d}"
    assert {r["id"] for r in before} | {r["id"] for r in fresh} == {
        r["id"] for r in reading.read(world, "crm/stage_history").rows
    }


def test_support_export_goes_on_where_it_ended(world: Path, tmp_path: Path, serve: Serve) -> None:
    base = serve(support.create_app(world, tmp_path, Faults()))
    query: dict[str, Any] = {"start_time": 0, "per_page": 4}
    found: list[dict[str, Any]] = []
    while True:
        body = (
            httpx.get(base + support.PATH, params=query, auth=SUPPORT_AUTH, trust_env=False).raise_for_status().json()
        )
        found += body["tickets"]
        query = {"cursor": body["after_cursor"], "per_page": 4}
        if body["end_of_stream"]:
            break
        assert len(body["tickets"]) == 4
        assert len(found) < 1_000, "the cursor does not move on"
        assert body["after_url"].startswith(base)
    assert found == reading.read(world, "support/tickets").rows
    again = httpx.get(base + support.PATH, params=query, auth=SUPPORT_AUTH, trust_env=False).json()
    assert (again["tickets"], again["end_of_stream"], again["after_cursor"]) == ([], True, query["cursor"])


@pytest.mark.parametrize(
    ("query", "auth", "status"),
    [
        ({"start_time": 0}, None, 401),
        ({"start_time": 0}, (support.EMAIL, support.TOKEN), 401),
        ({}, SUPPORT_AUTH, 400),
        ({"start_time": "soon"}, SUPPORT_AUTH, 400),
        ({"cursor": "###"}, SUPPORT_AUTH, 400),
        ({"start_time": 0, "per_page": 1001}, SUPPORT_AUTH, 400),
    ],
)
def test_support_refuses(
    world: Path, tmp_path: Path, serve: Serve, query: dict[str, Any], auth: tuple[str, str] | None, status: int
) -> None:
    base = serve(support.create_app(world, tmp_path, Faults()))
    assert httpx.get(base + support.PATH, params=query, auth=auth, trust_env=False).status_code == status


class OfficialAccount:
    """A client of the emulated account."""

    def __init__(self, base: str) -> None:
        self.base = base

    def token(self, **change: str) -> dict[str, Any]:
        query = {"grant_type": "client_credential", "appid": wechat_oa.APPID, "secret": wechat_oa.SECRET, **change}
        return dict(httpx.get(f"{self.base}/cgi-bin/token", params=query, trust_env=False).json())

    def get(self, path: str, **query: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.base}/cgi-bin/{path}", params=query, trust_env=False)
        assert answer.status_code == 200
        return dict(answer.json())

    def batch(self, token: str, openids: list[str]) -> dict[str, Any]:
        body = json.dumps({"user_list": [{"openid": openid, "lang": "zh_CN"} for openid in openids]})
        url = f"{self.base}/cgi-bin/user/info/batchget"
        return dict(httpx.post(url, params={"access_token": token}, content=body, trust_env=False).json())


def test_official_account_lists_and_describes_who_follows(
    world: Path, tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wechat_oa, "LIST_LIMIT", 50)
    account = OfficialAccount(serve(wechat_oa.create_app(world, tmp_path, Faults())))
    token = account.token()["access_token"]
    rows = {row["openid"]: row for row in reading.read(world, "wechat_oa/followers").rows}
    following = {openid for openid, row in rows.items() if row["subscribe"]}
    assert 0 < len(following) < len(rows)

    listed: list[str] = []
    page = account.get("user/get", access_token=token)
    while page["count"]:
        assert len(listed) <= len(following), "the list does not move on"
        assert page["total"] == len(following)
        assert page["count"] == len(page["data"]["openid"]) <= 50
        assert page["next_openid"] == page["data"]["openid"][-1]
        listed += page["data"]["openid"]
        page = account.get("user/get", access_token=token, next_openid=page["next_openid"])
    assert page == {"total": len(following), "count": 0, "next_openid": ""}
    assert len(listed) == len(set(listed)) == len(following)
    assert set(listed) == following

    described = [
        info for i in range(0, len(listed), 100) for info in account.batch(token, listed[i : i + 100])["user_info_list"]
    ]
    assert [info["openid"] for info in described] == listed
    for info in described:
        row = rows[info["openid"]]
        assert info == {k: v for k, v in row.items() if k != "updated_at" and not (k == "unionid" and v is None)}
    left = next(iter(rows.keys() - following))
    assert account.get("user/info", access_token=token, openid=left) == {"subscribe": 0, "openid": left}


def test_official_account_answers_errors_with_status_200(world: Path, tmp_path: Path, serve: Serve) -> None:
    now = [1_000.0]
    account = OfficialAccount(serve(wechat_oa.create_app(world, tmp_path, Faults(), clock=lambda: now[0])))
    assert account.token(secret="wrong")["errcode"] == 40001
    assert account.token(appid="wrong")["errcode"] == 40013
    assert account.token(grant_type="wrong")["errcode"] == 40002
    assert account.get("user/get")["errcode"] == 41001
    first = account.token()
    assert first["expires_in"] == 7_200
    openid = account.get("user/get", access_token=first["access_token"])["data"]["openid"][0]
    assert account.batch(first["access_token"], [openid] * 101)["errcode"] == 40032
    assert account.batch(first["access_token"], ["nobody"])["errcode"] == 40003
    now[0] += 7_200
    assert account.get("user/get", access_token=first["access_token"])["errcode"] == 42001
    second = account.token()["access_token"]
    assert second != first["access_token"]
    assert account.get("user/get", access_token=first["access_token"])["errcode"] == 40014
    assert account.get("user/get", access_token=second)["count"] > 0
    restarted = OfficialAccount(serve(wechat_oa.create_app(world, tmp_path, Faults(), clock=lambda: now[0])))
    assert restarted.get("user/get", access_token=second)["count"] > 0, "the token survives a restart"


def test_faults_can_be_switched_while_it_runs(world: Path, tmp_path: Path, serve: Serve) -> None:
    base = serve(crm.create_app(world, tmp_path, Faults()))

    def ask(name: str = "leads") -> int:
        return httpx.get(f"{base}/v1/{name}", headers=CRM_AUTH, trust_env=False).status_code

    plan = {"outage": {"status": 503, "requests": 2, "path": "leads", "retry_after": 4}}
    changed = httpx.post(f"{base}/_control", json=plan, trust_env=False)
    assert changed.json()["outage"]["requests"] == 2
    assert httpx.get(f"{base}/_control", trust_env=False).json() == changed.json()
    assert [ask("contacts"), ask(), ask("contacts"), ask(), ask()] == [200, 503, 200, 503, 200]
    refused = httpx.post(f"{base}/_control", json={"error_rat": 1}, trust_env=False)
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["key"] == "error_rat"
    httpx.post(f"{base}/_control", json={"error_rate": 1, "hang_seconds": 0}, trust_env=False)
    assert {ask() for _ in range(30)} == {500, 503, 504}
    httpx.post(f"{base}/_control", json={}, trust_env=False)
    assert ask() == 200


def test_official_account_faults_come_as_errcodes(world: Path, tmp_path: Path, serve: Serve) -> None:
    faults = Faults({"wechat_oa": FaultPlan(throttle_rate=1)})
    account = OfficialAccount(serve(wechat_oa.create_app(world, tmp_path, faults)))
    assert account.token()["errcode"] == 45009


def test_the_nth_request_always_has_the_same_fate() -> None:
    plan = FaultPlan(error_rate=0.2, throttle_rate=0.1)
    fates = [
        [Faults({"a": plan, "b": plan}, seed=s).fate(name, n, "/") for n in range(2_000)]
        for s, name in [(1, "a"), (1, "a"), (1, "b"), (2, "a")]
    ]
    assert fates[0] == fates[1]
    assert fates[0] != fates[2]
    assert fates[0] != fates[3]
    wrong = [fault for fault in fates[0] if fault]
    assert 0.25 < len(wrong) / 2_000 < 0.35
    assert {f.status for f in wrong} == {429, 500, 503, 504}
    assert any(f.after_effect for f in wrong)


def test_outages_end_after_their_requests_or_seconds() -> None:
    now = [0.0]
    faults = Faults(clock=lambda: now[0])
    faults.change("x", FaultPlan(outage=Outage(requests=2)))
    assert [faults.fate("x", n, "/") for n in range(3)] == [Fault(500), Fault(500), None]
    faults.change("x", FaultPlan(outage=Outage(seconds=10, status=502)))
    assert faults.fate("x", 4, "/") == Fault(502)
    assert faults.fate("y", 4, "/") is None
    now[0] = 10.0
    assert faults.fate("x", 5, "/") is None
