"""Columns, types and values that readers of docs/demo-world.md rely on."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.demo import reading

COLUMNS = {
    "wechat_oa/followers": "openid unionid subscribe subscribe_time nickname language city province country sex"
    " subscribe_scene qr_scene qr_scene_str remark groupid tagid_list updated_at",
    "wecom/follow_users": "userid name department",
    "wecom/corp_tags": "group_id group_name tag_id tag_name order create_time",
    "wecom/external_contacts": "userid external_userid external_contact follow_info updated_at",
    "crm/accounts": "id name domain parent_account_id industry employees country created_at updated_at",
    "crm/contacts": "id account_id first_name last_name email phone title owner wecom_external_userid created_at"
    " updated_at",
    "crm/leads": "id first_name last_name email phone company title source campaign status owner converted_contact_id"
    " created_at updated_at",
    "crm/opportunities": "id account_id primary_contact_id name amount currency stage created_at closed_at is_won"
    " updated_at",
    "crm/stage_history": "id object_type object_id from_stage to_stage changed_at updated_at",
    "support/tickets": "id requester subject channel priority status csat replies created_at updated_at",
    "pos/receipts": "receipt_no line_no store store_time_zone sold_at card_no phone sku qty amount currency",
    "forms/checkins": "registration_id booth scanned_at scanned_by",
    "coupons/coupons": "event coupon_code campaign user_id phone openid value_cents currency order_id occurred_at",
    "consent/consents": "consent_id identifier_type identifier_value purpose state channel occurred_at text_version ip",
}


@pytest.mark.parametrize("file", COLUMNS)
def test_rows_have_the_documented_columns(world: Path, file: str) -> None:
    rows = reading.read(world, file).rows
    assert rows
    assert {tuple(row) for row in rows} == {tuple(COLUMNS[file].split())}


def test_registrations_gain_a_column(world: Path) -> None:
    short = (
        "registration_id",
        "form_id",
        "form_name",
        "name",
        "email",
        "phone",
        "company",
        "campaign",
        "registered_at",
    )
    rows = reading.read(world, "forms/registrations").rows
    assert {tuple(row) for row in rows} == {short, (*short, "job_title")}
    assert any("," in row["name"] for row in rows), "quoted fields occur"


def test_parquet_columns_and_types(world: Path) -> None:
    users = {pq.read_schema(path).to_string() for path in reading.paths(world, "mini_program/users")}
    clicks = {pq.read_schema(path).to_string() for path in reading.paths(world, "ads/clicks")}
    assert len(users) == len(clicks) == 1, "every day has the same schema"
    assert re.findall(r"(\w+): (\w+)", users.pop()) == [
        *[(name, "string") for name in ("openid", "unionid", "phone", "country_code", "nickname")],
        ("registered_at", "timestamp"),
        ("last_seen_at", "timestamp"),
        ("scene", "int32"),
    ]
    names = re.findall(r"(\w+): \w+", clicks.pop())
    assert names == [
        *("click_id", "platform", "campaign_id", "campaign", "adgroup", "keyword", "clicked_at", "landing_url"),
        "anonymous_id",
    ]
    assert all(row["click_id"] in row["landing_url"] for row in reading.read_parquet(world, "ads/clicks"))


def test_events_follow_the_segment_spec(world: Path) -> None:
    accounts = {row["id"]: row["name"] for row in reading.read(world, "crm/accounts").rows}
    groups = 0
    for channel in ("website", "app"):
        events = reading.read(world, f"{channel}/events").rows
        kinds = {"page" if channel == "website" else "screen", "track", "identify"}
        assert kinds <= {event["type"] for event in events} <= kinds | {"group"}
        for event in events:
            assert event["anonymousId"] or event.get("userId")
            times = [event[key] for key in ("originalTimestamp", "sentAt", "receivedAt", "timestamp")]
            assert all(re.fullmatch(r"2026-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text) for text in times)
            assert event["timestamp"] <= event["receivedAt"]
            needed = {"track": "event", "page": "name", "screen": "name", "identify": "traits", "group": "groupId"}
            assert event[needed[event["type"]]]
            assert event["context"]["userAgent"]
            assert {"ip", "locale", "timezone", "library"} <= event["context"].keys()
            assert channel == "website" or {"device", "app"} <= event["context"].keys()
            if event["type"] == "group":
                groups += 1
                assert accounts[event["groupId"]] == event["traits"]["name"]
    assert groups > 10


def test_orders_of_the_website_are_those_of_the_shop(world: Path) -> None:
    orders = {row["order_id"]: row for row in reading.read_shop(world, "orders")}
    completed = [e for e in reading.read(world, "website/events").rows if e.get("event") == "Order Completed"]
    assert completed
    for event in completed:
        order, said = orders[event["properties"]["order_id"]], event["properties"]
        factor = 1 if order["currency"] == "JPY" else 100
        assert round(said["total"] * factor) == order["total_cents"]
        assert (said["currency"], said["coupon"]) == (order["currency"], order["coupon_code"])
        assert order["channel"] == "web"
    lines = reading.read_shop(world, "order_lines")
    for order_id, order in orders.items():
        goods = sum(line["quantity"] * line["unit_price_cents"] for line in lines if line["order_id"] == order_id)
        assert goods == order["total_cents"] + order["discount_cents"]
    statuses = {order["status"] for order in orders.values()}
    assert statuses >= {"paid", "shipped", "refunded", "cancelled"}
    refunded = {row["order_id"] for row in reading.read_shop(world, "refunds")}
    assert refunded == {name for name, order in orders.items() if order["status"] == "refunded"}


def test_references_between_sources_hold(world: Path) -> None:
    contacts = {row["id"] for row in reading.read(world, "crm/contacts").rows}
    accounts = {row["id"] for row in reading.read(world, "crm/accounts").rows}
    leads = {row["id"]: row for row in reading.read(world, "crm/leads").rows}
    opportunities = {row["id"]: row for row in reading.read(world, "crm/opportunities").rows}
    assert {row["converted_contact_id"] for row in leads.values()} - {None} <= contacts
    assert {row["primary_contact_id"] for row in opportunities.values()} <= contacts
    assert {row["account_id"] for row in opportunities.values()} - {None} <= accounts
    assert None in {row["account_id"] for row in opportunities.values()}

    last: dict[str, str] = {}
    for change in reading.read(world, "crm/stage_history").rows:
        assert last.get(change["object_id"]) == change["from_stage"]
        last[change["object_id"]] = change["to_stage"]
    assert last == {name: row["status"] for name, row in leads.items()} | {
        n: r["stage"] for n, r in opportunities.items()
    }

    coupons = reading.read(world, "coupons/coupons").rows
    assert all(sum(bool(row[key]) for key in ("user_id", "phone", "openid")) == 1 for row in coupons)
    assert all(bool(row["order_id"]) == (row["event"] == "redeemed") for row in coupons)


def test_receipts_are_in_the_time_of_their_shop(world: Path) -> None:
    rows = reading.read(world, "pos/receipts").rows
    forms = {
        "Asia/Shanghai": "%Y/%m/%d %H:%M:%S",
        "Europe/Berlin": "%d.%m.%Y %H:%M:%S",
        "Europe/Paris": "%d.%m.%Y %H:%M:%S",
    }
    hours = [datetime.strptime(row["sold_at"], forms[row["store_time_zone"]]).hour for row in rows]  # noqa: DTZ007
    assert min(hours) >= 10
    assert max(hours) <= 21
    assert {row["store_time_zone"] for row in rows} >= {"Asia/Shanghai", "Europe/Berlin"}
