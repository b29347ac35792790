"""Data that nobody on this project wrote, through the whole flow, against figures that were counted elsewhere.

UCI Online Retail (https://archive.ics.uci.edu/dataset/352/online+retail), Maven Analytics' CRM Sales Opportunities and the web
events of Snowplow's dbt package. The figures are those of the files themselves, counted without this project's code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cdp.settings import get_settings
from tests.site import Site

DATA = get_settings().absolute(get_settings().shared_data)
SOURCES = ("online_retail", "snowplow_web", "maven_crm")
MISSING = [name for name in SOURCES if not (DATA / name).is_dir()]

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)} below {DATA}; set CDP_SHARED_DATA"),
]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, dict[str, Any]]]:
    """One run of the three sources, with no destination connected: syncs that cannot run are warnings then."""
    site = Site.make(tmp_path_factory.mktemp("real"), CDP_SOURCES=",".join(SOURCES), CDP_AS_OF="2026-01-01T00:00:00")
    yield site, site.run(expect=0)


def test_the_run_goes_through(real: tuple[Site, dict[str, Any]]) -> None:
    """Invoices below zero are in the file: 3,836 cancellations and two write-offs of bad debt. None counts as revenue."""
    site, summary = real
    assert summary["failed_steps"] == summary["held_back"] == summary["failed_checks"] == []
    assert site.query(
        "select status, is_revenue, count(*) from profiles.person_order where gross_value < 0 group by all order by all"
    ) == [("cancelled", False, 3_838)]
    assert [w for w in summary["warnings"] if "delivered" in w], "a sync nobody connected is a warning"


def test_every_line_lands_once(real: tuple[Site, dict[str, Any]]) -> None:
    site, _ = real
    assert site.one("select count(*) from raw.online_retail__invoice_lines") == 541_909
    assert site.one("select count(distinct _cdp_sequence) from raw.online_retail__invoice_lines") == 541_909
    assert site.one("select count(*) from raw.snowplow_web__events") == 160
    assert site.one("select count(*) from raw.maven_crm__sales_pipeline") == 8_800
    assert site.one("select count(*) from raw.maven_crm__accounts") == 85
    assert site.one("select count(*) from raw.raw_quarantine") == 0


def test_customers_are_persons_and_lines_without_one_are_nobody(real: tuple[Site, dict[str, Any]]) -> None:
    """135,080 lines have no customer: taken for one person they would be the best customer of all."""
    site, _ = real
    assert site.query(
        "select count(*), count(distinct person_id) from identity.person_identifier where identifier_type = 'shop_customer_id'"
    ) == [(4_372, 4_372)]
    largest = site.one("select max(n) from (select count(*) as n from identity.record_person group by person_id)")
    by_customer = "select max(n) from (select count(*) as n from raw.online_retail__invoice_lines where customer_id is not null group by customer_id)"
    assert largest == site.one(by_customer), "nobody has more records than the busiest customer has lines"
    unknown = site.one(
        "select count(*) from conformed.order_line as l left join profiles.person_order as o using (order_key) "
        "where l.source = 'online_retail' and o.person_id is null"
    )
    assert unknown == 135_080


def test_revenue_of_known_customers(real: tuple[Site, dict[str, Any]]) -> None:
    site, _ = real
    lines, customers, invoices, revenue = site.query(
        """
        select count(*), count(distinct o.person_id), count(distinct o.order_id), sum(l.amount)
        from conformed.order_line as l
        inner join profiles.person_order as o using (order_key)
        where l.source = 'online_retail' and l.quantity > 0 and l.amount > 0 and o.person_id is not null
        """
    )[0]
    assert (lines, customers, invoices) == (397_884, 4_338, 18_532)
    assert round(float(revenue), 3) == 8_911_407.904
    cancelled = site.query(
        "select count(*) filter (status = 'cancelled'), count(*) filter (status = 'cancelled' and is_revenue) from profiles.person_order"
    )
    assert cancelled[0][0] > 0
    assert cancelled[0][1] == 0, "a cancellation is no revenue"


def test_the_pipeline_of_deals(real: tuple[Site, dict[str, Any]]) -> None:
    site, _ = real
    assert site.query(
        "select count(*), count(*) filter (stage = 'won'), count(*) filter (stage = 'lost'), sum(amount) filter (stage = 'won'),"
        " count(*) filter (account_id is null) from conformed.lead where source = 'maven_crm'"
    ) == [(8_800, 4_238, 2_473, 10_005_534, 1_425)]
    assert site.one("select sum(won_value) from profiles.account where source = 'maven_crm'") > 0


def test_repeated_web_events_count_once(real: tuple[Site, dict[str, Any]]) -> None:
    site, _ = real
    assert site.query(
        "select count(*), count(distinct event_id) from conformed.event where source = 'snowplow_web'"
    ) == [(157, 157)]
