"""The sources that ship switched off: read from files as vendors write them and from servers that keep the vendors' contracts,
through staging, to every expression that they give to the conformed layer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdp.settings import PROJECT_ROOT, Settings, get_settings
from cdp.warehouse import reading
from tests.ingest.trial import Rows, Trial
from tests.ingest.vendors import Handler, serve_under_load

SHARED = get_settings().absolute(get_settings().shared_data)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    folders = {"data_dir": tmp_path / "data", "landing_dir": tmp_path / "landing"}
    return Trial(Settings(project_root=PROJECT_ROOT, **folders, _env_file=None))


def test_ad_reports_of_three_platforms_become_one_table(trial: Trial) -> None:
    """Thousands separators, a GB18030 file, and a day told again with other figures."""
    trial.drop("ad_reports/google-1.csv", "Day,Campaign,Campaign ID,Currency code,Cost,Impr.,Clicks\n"
               '2026-03-01,Brand,111,EUR,"1,234.50","10,000",120\n')  # fmt: skip
    trial.drop("ad_reports/meta-1.csv", "Reporting starts,Reporting ends,Campaign name,Campaign ID,Currency,Amount spent,Impressions,"
               "Link clicks\n2026-03-01,2026-03-01,Spring,222,USD,99.9,5000,42\n,,Spring,222,USD,1,2,3\n")  # fmt: skip
    trial.drop(
        "ad_reports/oceanengine-1.csv",
        "日期,项目ID,项目名称,消耗,展示数,点击数\n2026-03-01,333,春季灯具,888.00,7000,70\n",
        "gb18030",
    )
    assert trial.load("ad_reports") == {"google": 1, "meta": 1, "ocean_engine": 1}, "a report's total line has no day"
    spend = {row[1]: row for row in trial.conformed("ad_reports")["ad_spend"]}
    assert [float(spend[p][6]) for p in ("google", "meta", "oceanengine")] == [1234.5, 99.9, 888.0]
    assert (spend["google"][4], spend["oceanengine"][3], spend["oceanengine"][7]) == (10_000, "春季灯具", "CNY")


def test_survey_answers_come_out_of_a_webhook(trial: Trial) -> None:
    """Answers by their types; another event of the same platform is no answer; a new kind of answer breaks nothing."""
    answers = [
        {"type": "email", "email": "mia@x.example", "field": {"id": "a", "type": "email", "ref": "mail"}},
        {"type": "number", "number": 9, "field": {"id": "b", "type": "opinion_scale", "ref": "nps"}},
        {
            "type": "choice",
            "choice": {"label": "Desk lamps"},
            "field": {"id": "c", "type": "multiple_choice", "ref": "what"},
        },
        {"type": "hologram", "hologram": {}, "field": {"id": "d", "type": "new", "ref": "new"}},
    ]
    response = {"form_id": "f1", "token": "t1", "submitted_at": "2026-03-01T10:00:00Z", "hidden": {"user_id": "u_1"},
                "definition": {"title": "After your order"}, "answers": answers}  # fmt: skip
    calls = [{"event_id": "e1", "event_type": "form_response", "form_response": response},
             {"event_id": "e2", "event_type": "form_response_partial", "form_response": {"token": "t2"}}]  # fmt: skip
    trial.drop("surveys/responses-1.jsonl", "".join(json.dumps(c) + "\n" for c in calls))
    trial.load("surveys")
    found = trial.conformed("surveys")
    assert found["identifiers"] == [("mia@x.example", None, "u_1")]
    (event,) = found["event"]
    assert event[0] == "t1"
    assert json.loads(event[-1]) == {
        "form_id": "f1", "form_name": "After your order", "score": 9, "choices": [{"what": "Desk lamps"}],
    }  # fmt: skip


@pytest.mark.shared_data
@pytest.mark.skipif(
    not (SHARED / "shopify_seeds").is_dir(), reason=f"no shopify_seeds below {SHARED}; set CDP_SHARED_DATA"
)
def test_shopify_in_the_shapes_of_its_connector(trial: Trial) -> None:
    """The files of fivetran/dbt_shopify: 4 customers, 8 orders, 3 lines, refunds, 3 checkouts that were left."""
    (trial.landing / "shopify").mkdir(parents=True)
    for name in ("customer", "order", "order_line", "refund", "order_line_refund", "abandoned_checkout"):
        shutil.copy(SHARED / "shopify_seeds" / f"shopify_{name}_data.csv", trial.landing / "shopify")
    landed = trial.load("shopify")
    assert (landed["customer"], landed["orders"], landed["order_line"], landed["abandoned_checkout"]) == (4, 8, 3, 3)
    found = trial.conformed("shopify")
    assert {row[2] for row in found["order"]} <= {"web", "store"}
    assert all(row[5] is not None and row[4] for row in found["order"])
    assert sum(len(found[s]) for s in ("order_line", "refund")) == 3 + landed["refund"]
    assert {row[2] for row in found["consent"]} == {True, False}
    left = [row for row in found["event"] if row[2] == "Checkout Abandoned"]
    assert len(left) == 3
    assert all(float(row[5]) > 0 for row in left)


def _changes(trial: Trial) -> Rows:
    """What a source was seen to have changed in its schema."""
    with reading(trial.settings, live=True) as con:
        return con.execute("select table_name, column_name, change from raw.raw_schema_change order by all").fetchall()


def test_payments_pages_by_the_last_id(
    trial: Trial, serve: Callable[[Starlette], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract: docs.stripe.com/api/pagination: `data`, `has_more`, `starting_after`. Yen has no smaller unit."""
    charges = [
        {"id": f"ch_{n}", "amount": 1050, "currency": "jpy" if n == 2 else "eur", "status": "failed" if n == 1 else "succeeded",
         "created": 1772323200 + n, "billing_details": {"email": "mia@x.example"}, "metadata": {"order_id": f"o{n}"}}
        for n in range(3)
    ]  # fmt: skip
    customers = [
        {"id": "cus_1", "email": "mia@x.example", "name": "Mia", "created": 1772323200, "metadata": {"user_id": "u_1"}}
    ]

    def listed(rows: list[dict[str, Any]]) -> Handler:
        def answer(request: Request) -> Response:
            after = request.query_params.get("starting_after")
            start = next((n + 1 for n, row in enumerate(rows) if row["id"] == after), 0)
            return JSONResponse({"object": "list", "data": rows[start : start + 2], "has_more": start + 2 < len(rows)})

        return answer

    base = serve_under_load(serve, Route("/v1/charges", listed(charges)), Route("/v1/customers", listed(customers)))
    monkeypatch.setenv("CDP_PAYMENTS__BASE_URL", base)
    monkeypatch.setenv("CDP_PAYMENTS__SECRET_KEY", "sk_test")
    assert trial.load("payments") == {"customers": 1, "charges": 3}
    charges.append(charges[0] | {"id": "ch_3", "created": "soon", "receipt_number": 7, "status": "failed"})
    assert trial.load("payments") == {"charges": 1}, "what was read is not read again"
    assert _changes(trial) == [
        ("charges", "created", "type changed"),
        ("charges", "receipt_number", "new column"),
    ]
    found = trial.conformed("payments")
    assert ("u_1", "mia@x.example", None) in found["identifiers"]
    assert [(r[0], r[5], float(r[6]), r[7]) for r in found["event"]] == [
        ("ch_0", "o0", 10.5, "EUR"), ("ch_2", "o2", 1050.0, "JPY"),
    ]  # fmt: skip


def test_salesforce_is_asked_from_the_last_change_on(
    trial: Trial, serve: Callable[[Starlette], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract: REST API Developer Guide, Query: `records`, `nextRecordsUrl` (a path), `done`. The second reading asks from there."""
    rows = [
        {"attributes": {"type": "Account"}, "Id": f"001{n}", "Name": f"A{n}", "Website": "https://www.A.example/about",
         "NumberOfEmployees": 5, "CreatedDate": "2026-01-01T00:00:00.000+0000", "SystemModstamp": f"2026-01-0{n + 1}T00:00:00.000+0000"}
        for n in range(3)
    ]  # fmt: skip
    asked: list[str] = []

    def query(request: Request) -> Response:
        q = parse_qs(str(request.url.query))["q"][0]
        asked.append(q)
        if "FROM Account" not in q:
            return JSONResponse({"totalSize": 0, "done": True, "records": []})
        since, order = q.split("SystemModstamp >= ")[1].split(" ", 1)
        assert order == "ORDER BY SystemModstamp"
        fields = {"attributes", *q.removeprefix("SELECT ").split(" FROM ")[0].split(", ")}
        changed = [{f: v for f, v in r.items() if f in fields} for r in rows if r["SystemModstamp"] >= since]
        changed.sort(key=lambda r: r["SystemModstamp"])
        page: dict[str, Any] = {"records": changed[:2], "done": len(changed) <= 2}
        if not page["done"]:
            page["nextRecordsUrl"] = "/services/data/v61.0/query/01g-2000"
        return JSONResponse(page)

    def more(request: Request) -> Response:
        return JSONResponse({"records": rows[2:], "done": True})

    base = serve_under_load(
        serve, Route("/services/data/v61.0/query", query), Route("/services/data/v61.0/query/{locator}", more)
    )
    monkeypatch.setenv("CDP_SALESFORCE__BASE_URL", base)
    monkeypatch.setenv("CDP_SALESFORCE__TOKEN", "00D")
    assert trial.load("salesforce") == {"accounts": 3}
    assert trial.load("salesforce") == {}
    assert "2026-01-03" in [q for q in asked if "FROM Account" in q][-1]
    rows[1] |= {"NumberOfEmployees": "about 50", "Tier__c": "gold", "SystemModstamp": "2026-01-04T00:00:00.000+0000"}
    source = trial.declared("salesforce")
    soql = (source.tables["accounts"].endpoint or {})["params"]["q"].replace("SELECT ", "SELECT Tier__c, ")
    assert trial.load(trial.asking(source, "accounts", params={"q": soql})) == {"accounts": 1}
    assert _changes(trial) == [
        ("accounts", "attributes", "undeclared column"),
        ("accounts", "number_of_employees", "type changed"),
        ("accounts", "tier_c", "new column"),
    ]
    found = trial.conformed("salesforce")
    assert sorted((r[0], r[2], r[5]) for r in found["account"] if r[5]) == [
        (f"001{n}", "a.example", 5) for n in range(3)
    ]
    assert [r[0] for r in found["account"] if r[5] is None] == ["0011"], "a number that is none is not guessed"
