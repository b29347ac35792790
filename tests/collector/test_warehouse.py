"""From an SDK's call to the conformed layer: ids, traits and times of the collector's events become observations and events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

from cdp.sources import one_source
from cdp.warehouse import writer_lock
from ingest.pipeline import run_source
from tests.collector.running import Running
from tests.commands import dbt
from tests.site import Site

MODELS = ["+stg_collector__webhooks", "+event", "+identifier_observation", "+account_member"]

LINE = {"product_id": "LM-DL-001", "quantity": 1, "price": 12.5}
ORDER = {"order_id": "LM0123456789AB", "total": 12.5, "revenue": 12.5, "currency": "EUR", "products": [LINE]}


def test_events_become_one_timeline_and_identifiers(own_collector: Callable[..., Running], tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site", CDP_SOURCES="collector")
    collector = own_collector(CDP_DATA_DIR=str(site.data))
    collector.data = site.data
    page = {"page": {"path": "/p/1", "url": "https://shop.example/p/1?gclid=click-123456"}, "userAgent": "Chrome"}
    batch = [
        {"type": "page", "messageId": "a", "anonymousId": "anon-001", "name": "Home", "context": page},
        {
            "type": "identify",
            "messageId": "b",
            "anonymousId": "anon-001",
            "userId": "u-1",
            "traits": {"email": "a@example.com"},
        },
        {
            "type": "track",
            "messageId": "c",
            "userId": "u-1",
            "event": "Order Completed",
            "properties": ORDER,
        },
        {"type": "group", "messageId": "d", "userId": "u-1", "groupId": "g-1"},
        {"type": "alias", "messageId": "e", "userId": "u-1", "previousId": "anon-000"},
    ]
    sent = {"batch": [event | {"timestamp": f"2026-03-01T10:00:0{n}Z"} for n, event in enumerate(batch)]}
    assert collector.post("/v1/batch", sent | {"sentAt": "2026-03-01T10:00:00Z"}).status_code == 200
    assert collector.stop() == 0
    settings = collector.settings
    with writer_lock(settings):
        assert run_source(one_source("collector", settings).value, settings).total == 5
    done = dbt("--quiet", "build", "--select", *MODELS, folder=site.root / "dbt_project",
               environment=site.env() | settings.model_copy(update={"project_root": site.root}).dbt_environment())  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as con:
        events = con.execute(
            "select event_id, event_type, event_name, channel, page_path, order_id, amount::double from conformed.event order by 1"
        ).fetchall()
        found = set(
            con.execute(
                "select split_part(record_id, ':', 2), identifier_type, identifier_value from conformed.identifier_observation"
            ).fetchall()
        )
        accounts = con.execute("select record_id, account_key from conformed.account_member").fetchall()
    assert events == [
        ("a", "page", "Page Viewed", "web", "/p/1", None, None),
        ("b", "identify", "Identified", "web", None, None, None),
        ("c", "track", "Order Completed", "web", None, ORDER["order_id"], 12.5),
        ("d", "group", "Grouped", "web", None, None, None),
        ("e", "alias", "alias", "web", None, None, None),
    ]
    assert found == {
        ("a", "anonymous_id", "anon-001"),
        ("a", "click_id", "click-123456"),
        ("b", "anonymous_id", "anon-001"),
        ("b", "user_id", "u-1"),
        ("b", "email", "a@example.com"),
        ("c", "user_id", "u-1"),
        ("d", "user_id", "u-1"),
        ("e", "user_id", "u-1"),
        ("e", "anonymous_id", "anon-000"),
    }, "an alias ties who was known before to who it is now"
    assert accounts == [("collector.events:d", "crm:g-1")]
