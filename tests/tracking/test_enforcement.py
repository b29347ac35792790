"""From a file of events to the conformed layer: what the plan flags, drops, blocks, and how blocked events come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cdp.cli import app
from cdp.settings import get_settings
from cdp.sources import one_source
from cdp.warehouse import reading, writer_lock
from ingest.pipeline import run_source
from tests.commands import dbt
from tests.site import Site

MODELS = "tracking_event_day stg_website__events event contact_attribute event_order_completed"
ORDER = {"order_id": "LM0123456789AB", "total": 20.5, "revenue": 20.5, "currency": "EUR"}
LINE = {"product_id": "LM-DL-001", "quantity": 1, "price": 20.5}


def _event(number: int, name: str, properties: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": "track", "messageId": f"m{number}", "anonymousId": "a1", "event": name, "properties": properties,
        "context": {"library": {"name": "analytics.js", "version": "1.2"}}, "timestamp": f"2026-01-01T00:00:{number:02}.5Z",
        "receivedAt": f"2026-01-01T00:01:{number:02}Z", **more,
    }  # fmt: skip


EVENTS = [
    _event(1, "Product Viewed", {"product_id": "LM-DL-001", "price": 3}),
    _event(2, "Product Viewed", {"product_id": "LM-DL-002", "price": "12,50 EUR", "colour": "red"}),
    _event(
        3, "Order Completed", {k: v for k, v in ORDER.items() if k != "total"} | {"products": [LINE], "coupon": None}
    ),
    _event(4, "Order Completed", {k: v for k, v in ORDER.items() if k != "currency"} | {"products": [LINE]}),
    _event(5, "mia@x.example did it", {}),
    _event(6, "Order Completed", {**ORDER, "products": [LINE, {**LINE, "quantity": 0}]}),
    {**_event(7, "", None), "type": "identify", "traits": {"email": "Mia@X.example", "phone": 4912345}},
    _event(8, "Order Completed", {k: v for k, v in ORDER.items() if k != "total"} | {"products": [LINE]}),
    _event(9, "Order Completed", {k: v for k, v in ORDER.items() if k != "currency"} | {"products": [LINE]}),
]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose only source is the website, with the events above; a phone that is no text is dropped."""
    made = Site.make(tmp_path, CDP_SOURCES="website", CDP_LANDING_DIR=str(tmp_path / "landing"), CDP_AS_OF="2026-02-01")
    folder = tmp_path / "landing" / "website"
    folder.mkdir(parents=True)
    (folder / "events-1.jsonl").write_text("".join(json.dumps(e) + "\n" for e in EVENTS), encoding="utf-8")
    _edit(made, "identified", "phone: {type: string,", "phone: {type: string, on_violation: drop,")
    for key, value in made.env().items():
        monkeypatch.setenv(key, value)
    return made


def _edit(site: Site, event: str, old: str, new: str) -> None:
    path = site.root / "ingest" / "tracking_plan" / f"{event}.yml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def _build(site: Site, *more: str, landed: str = "") -> None:
    settings = site.settings
    with writer_lock(settings, timeout=10):
        run_source(one_source("website", settings).value, settings)
    done = dbt(
        "--no-use-colors", "--no-write-json", "--log-level-file", "none", "build", "--profiles-dir", ".",
        "--resource-type", "model", "--resource-type", "seed", "--select", *(f"+{m}" for m in MODELS.split()), *more,
        folder=site.root / "dbt_project", environment={**site.env(), **settings.dbt_environment(), "CDP_LANDED_SOURCES": landed},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


def _rows(site: Site, query: str) -> list[tuple[Any, ...]]:
    with reading(site.settings, live=True) as con:
        return con.execute(query).fetchall()


def _quarantine(site: Site, *arguments: str) -> dict[str, Any]:
    """`cdp quarantine`, in this process, which has the site's environment."""
    get_settings.cache_clear()
    done = CliRunner().invoke(app, ["quarantine", *arguments, "--json"])
    get_settings.cache_clear()
    assert done.exit_code in (0, 1), done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_blocked_events_wait_and_come_back_once(site: Site, tmp_path: Path) -> None:
    """Flag, drop, block; corrections by file and by repair; a corrected plan; and a rebuild that ends in the same rows."""
    _build(site)
    found = _rows(
        site, "select message_id, rule, path, found, action, event_name from tracking.tracking_violation order by all"
    )
    assert found == [
        ("m2", "unplanned_property", "colour", None, "flag", "Product Viewed"),
        ("m2", "wrong_type", "price", "99,99 xxx", "drop", "Product Viewed"),
        ("m3", "missing", "total", None, "block", "Order Completed"),
        ("m4", "missing", "currency", None, "block", "Order Completed"),
        ("m5", "unplanned_event", "", None, "flag", "xxx@x.xxxxxxx xxx xx"),
        ("m6", "below_minimum", "products[].quantity", "number", "flag", "Order Completed"),
        ("m7", "wrong_type", "phone", "number", "drop", "Identified"),
        ("m8", "missing", "total", None, "block", "Order Completed"),
        ("m9", "missing", "currency", None, "block", "Order Completed"),
    ]
    ids = "select event_id from conformed.event order by 1"
    assert [i for (i,) in _rows(site, ids)] == ["m1", "m2", "m5", "m6", "m7"]
    assert _rows(
        site, "select properties->>'$.price', properties->>'$.colour' from conformed.event where event_id = 'm2'"
    ) == [(None, "red")]
    assert _rows(site, "select attribute_value from conformed.contact_attribute") == [("mia@x.example",)]
    assert _rows(
        site, "select count(*), count(*) filter (where properties ->> 'price' like '12%') from raw.website__events"
    ) == [(9, 1)], "raw stays whole"
    assert _rows(
        site, "select sum(events), sum(events_in_violation), sum(events_blocked) from tracking.tracking_event_day"
    ) == [(9, 8, 4)]

    listed = _quarantine(site, "list")
    assert [(r["reason"], r["position"]) for r in listed["rows"]] == [
        ("tracking plan: missing total", 3),
        ("tracking plan: missing currency", 4),
        ("tracking plan: missing total", 8),
        ("tracking plan: missing currency", 9),
    ]
    as_they_are = _quarantine(site, "replay")
    assert (as_they_are["replayed"], len(as_they_are["unreadable"])) == (0, 4)
    _corrected_by_file(site, tmp_path / "rows.jsonl")
    repaired = _quarantine(site, "replay", "--repair", "order_total_from_revenue")
    assert (repaired["replayed"], repaired["unreadable"]) == (1, [])
    assert _quarantine(site, "replay", "--repair", "order_total_from_revenue")["replayed"] == 0, "once"
    _build(site, landed="collector")
    assert [i for (i,) in _rows(site, ids)] == ["m1", "m2", "m5", "m6", "m7"], (
        "a batch of another source lets them wait"
    )
    _build(site)
    assert [i for (i,) in _rows(site, ids)] == ["m1", "m2", "m3", "m5", "m6", "m7", "m8"]
    assert _rows(site, "select event_key, order_id, total, property from (select *, channel as property from events.event_order_completed) "
                 "where event_key in ('website:m3', 'website:m8') order by 1") == [
                     ("website:m3", "LM0123456789AB", 20.5, "web"), ("website:m8", "LM0123456789AB", 21, "web")]  # fmt: skip
    assert [r["reason"] for r in _quarantine(site, "list")["rows"]] == ["tracking plan: missing currency"] * 2

    _edit(site, "order_completed", "currency: {type: string, required: true,", "currency: {type: string,")
    assert _quarantine(site, "replay")["replayed"] == 2, "the plan as it stands now lets them through"
    _build(site)
    assert [i for (i,) in _rows(site, ids)] == [f"m{n}" for n in range(1, 10)]
    assert _quarantine(site, "list")["open"] == 0

    kept = {
        t: sorted(map(repr, _rows(site, f"select * from {t}")))
        for t in ("tracking.tracking_violation", "conformed.event")
    }
    days = sorted(_rows(site, "select * from tracking.tracking_event_day"))
    _build(site, "--full-refresh")
    for table, rows in kept.items():
        assert sorted(map(repr, _rows(site, f"select * from {table}"))) == rows, table
    assert sorted(_rows(site, "select * from tracking.tracking_event_day")) == days


def _corrected_by_file(site: Site, export: Path) -> None:
    """Of two corrections one fits and lands; the other, which the plan still blocks, stays open with the reason."""
    _quarantine(site, "list", "--export", str(export))
    rows = [json.loads(line) for line in export.read_text(encoding="utf-8").splitlines()][2:]
    original = json.loads(rows[0]["original"])
    assert (original["messageId"], original["context"]["library"]["version"]) == ("m8", "1.2")
    rows[0]["original"] = rows[0]["original"].replace('"revenue":20.5', '"revenue":20.5,"total":21')
    rows[1]["original"] = rows[1]["original"].replace('"total":20.5', '"total":21')
    export.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    done = _quarantine(site, "replay", str(export))
    assert (done["replayed"], [u["reason"] for u in done["unreadable"]]) == (1, ["tracking plan: missing currency"])
    assert _rows(site, "select count(*) from raw.website__events where message_id = 'm8'") == [(2,)]
