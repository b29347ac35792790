"""Audiences of Meta, and answers of Salesforce and TikTok, against what was recorded (see recorded.py)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from demo.emulators.destinations import meta_audiences
from reverse_etl.catalog import destination
from reverse_etl.destinations.meta_audiences.client import _SCHEMA as META
from reverse_etl.destinations.salesforce.client import _judge as judge_salesforce
from reverse_etl.destinations.tiktok_audiences.client import _judge as judge_tiktok
from reverse_etl.pace import TryAgain
from tests.reverse_etl.destinations.recorded import recorded, sent
from tests.reverse_etl.destinations.shared import batch, shared_data
from tests.reverse_etl.destinations.test_normalise import one

pytestmark = pytest.mark.shared_data


def test_members_of_meta(tmp_path: Path) -> None:
    """Schema and data, put in and taken out. Null is an empty text in ours, columns without a value fall away; the version is newer."""
    names = ("fb_custom_audience", "fb_custom_audience_router", "fb_custom_audience_router_rETL_output")
    theirs = [each for name in names for each in recorded(name, "/users")]
    assert len(theirs) == 30
    field = {schema: name for name, schema in META.items()}
    batches, expected = [], []
    for request in theirs:
        payload = request["params"]["payload"]
        rows = [dict(zip(payload["schema"], row, strict=True)) for row in payload["data"]]
        rows = [{name: value for name, value in row.items() if value} for row in rows if any(row.values())]
        if not rows:
            continue  # nothing to match by: ours tells the row and sends nothing
        operation = "delete" if request["method"] == "DELETE" else "create"
        ours = [{field[name]: value for name, value in row.items()} for row in rows]
        batches.append(batch("audience_members", ours, operation=operation, audience_id=meta_audiences.AUDIENCE))
        expected.append((request["method"], rows))
    heard = []
    for method, _, body in sent(meta_audiences, tmp_path, batches):
        payload = json.loads(parse_qs(body.decode())["payload"][0])
        assert payload["is_raw"] is True
        heard.append(
            (method, [{n: v for n, v in zip(payload["schema"], row, strict=True) if v} for row in payload["data"]])
        )
    assert (heard, len(heard)) == (expected, 29)


def test_digests_of_meta_are_the_same() -> None:
    """Of plain values with hashing on.

    Left out: FI, of which Meta wants one letter and theirs has two; ST, where theirs drops digits and Meta names punctuation,
    special characters and spaces only; MADID, which is never hashed.
    """
    folder = shared_data("rudder_transformer_mit_2023") / "destinations"
    rules = destination("meta_audiences").objects["audience_members"].fields
    field = {schema: name for name, schema in META.items()}
    seen: set[str] = set()
    for case in json.loads((folder / "fb_custom_audience.json").read_text()):
        config = case["input"]["destination"]["Config"]
        if not config.get("isHashRequired") or config["disableFormat"] or not isinstance(case["output"], list):
            continue
        given = case["input"]["message"]["properties"]["listData"].get("add", [{}])[0]
        payload = case["output"][-1]["params"]["payload"]
        theirs = dict(zip(payload["schema"], payload["data"][0], strict=True))
        for name in set(theirs) & set(given) - {"FI", "ST", "MADID"}:
            rule = rules[field[name]]
            if given[name]:
                assert one(rule.normalise, rule.hash, given[name]) == theirs[name], name
                seen.add(name)
    assert seen >= {"EMAIL", "DOBM", "DOBD", "DOBY", "GEN", "ZIP", "COUNTRY"}
    assert one("email_meta", "sha256", "Test@abc.com ") == hashlib.sha256(b"test@abc.com").hexdigest()


def test_answers_of_salesforce_and_tiktok_are_understood() -> None:
    """Recorded answers: used-up calls and failures that pass are tried again, an ended session is not a limit."""
    mocks = shared_data("rudder_transformer_mit_2023") / "mocks"
    salesforce = json.loads((mocks / "salesforce__proxy_response.json").read_text())
    again: dict[str, str] = {}
    for path, case in salesforce.items():
        told = case["response"]
        if "status" not in told:
            continue
        try:
            judge_salesforce(httpx.Response(told["status"], json=told["data"]))
        except TryAgain as passing:
            first = told["data"][0] if isinstance(told["data"], list) else told["data"]
            again[path.rsplit("/", 1)[1]] = f"{first['errorCode']} {passing.code}"
    assert again == {
        "4": "REQUEST_LIMIT_EXCEEDED rate_limit",
        "5": "SERVER_UNAVAILABLE unavailable",
        "7": "SERVER_UNAVAILABLE unavailable",
    }
    tiktok = next(iter(json.loads((mocks / "tiktok_ads__proxy_response.json").read_text()).values()))
    judge_tiktok(httpx.Response(200, json=tiktok["successResponse"]["data"]))
    judge_tiktok(httpx.Response(200, json=tiktok["invalidDataTypeResponse"]["data"]))
    with pytest.raises(TryAgain) as limit:
        judge_tiktok(httpx.Response(200, json=tiktok["tooManyRequests"]["data"]))
    assert limit.value.code == "rate_limit"
    with pytest.raises(TryAgain) as gateway:
        judge_tiktok(httpx.Response(502, text=tiktok["502-BadGateway"]["data"]))
    assert gateway.value.effect_unknown
