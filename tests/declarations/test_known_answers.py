"""Totals of data that nobody on this project wrote, through declarations: sums survive, RFM is that of a count by hand.

Sessions are those that Snowplow's tracker numbered itself (dbt-snowplow-web 0.15.2, its integration tests' events).

UCI Online Retail (https://archive.ics.uci.edu/dataset/352/online+retail) and The Complete Journey (completejourney 1.1.1, CRAN). The figures
are those of the files themselves: 4,338 customers, 18,532 invoices and 8,911,407.904 of revenue; 233,935.24 of sales.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from cdp.settings import get_settings
from tests.declarations.scratch import build, compiled, runnable, warehouse, write, write_contracts

DATA = get_settings().absolute(get_settings().shared_data)
MODELS = Path(__file__).resolve().parents[2] / "dbt_project" / "models"
RETAIL = DATA / "online_retail" / "online_retail.parquet"
JOURNEY = DATA / "completejourney" / "transactions_sample.parquet"
SNOWPLOW = DATA / "snowplow_web" / "source" / "snowplow_web_events.csv"
# Cookies (by the label that the file gives them as user_id) whose sessions are no visits: events hours apart or at the very same moment
# under one or two session ids, and a campaign that begins a visit of ours within theirs.
NO_VISITS = ("Unexpired session", "long session", "Multiple first sessions per user", "Multiple last sessions per user",
             "dupe: event_id same collector_tstamp")  # fmt: skip

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(
        not (RETAIL.exists() and JOURNEY.exists() and SNOWPLOW.exists()),
        reason=f"no online_retail, completejourney, snowplow_web below {DATA}; set CDP_SHARED_DATA",
    ),
]
TAGS = {
    "spent": "type: statistical\nover: order\naggregate: sum\nof: net_value\nwhere: is_revenue\n",
    "bought": "type: statistical\nover: order\naggregate: count\nwhere: is_revenue\n",
    "last_bought": "type: statistical\nover: order\naggregate: days_since\nwhere: is_revenue\n",
}
RFM = """type: rfm
recency: {edges: [31, 91, 181, 271]}
frequency: {edges: [2, 3, 5, 10]}
monetary: {quantiles: 5}
classes: [{name: best, when: r = 5 and f = 5 and m = 5}]
otherwise: rest
"""


def customers(orders: str, tmp_path: Path, as_of: str) -> duckdb.DuckDBPyConnection:
    """A warehouse with the tags of all customers of a query that gives person_id, order_key, ordered_at, net_value."""
    db = warehouse()
    db.execute(f"insert into person_order by name select *, true as is_revenue from ({orders})")
    db.execute("insert into person (person_id) select distinct person_id from person_order where person_id is not null")
    db.execute("drop table person_rfm")
    write_contracts(tmp_path)
    for name, text in TAGS.items():
        write(tmp_path, f"tags/{name}.yml", text)
    write(tmp_path, "scores/rfm.yml", RFM)
    models = compiled(tmp_path)
    build(db, {n: models[n] for n in ("audience", "rfm_bin", "rfm_class", "rfm_window")}, as_of)
    sql = (MODELS / "profiles" / "person_rfm.sql").read_text(encoding="utf-8")
    db.execute(f"create table person_rfm as {runnable(sql, as_of)}")
    build(db, models, as_of)
    return db


def test_online_retail(tmp_path: Path) -> None:
    """Totals of the tags are those of the file; each point of RFM is the count of who is strictly worse, or the declared edge."""
    db = customers(
        f"""select 'c' || "CustomerID"::bigint as person_id, "InvoiceNo"::varchar as order_key, min("InvoiceDate")::timestamp as ordered_at,
            sum("Quantity" * "UnitPrice"::decimal(18, 4)) as net_value
        from '{RETAIL}' where "Quantity" > 0 and "UnitPrice" > 0 and "CustomerID" is not null group by 1, 2""",
        tmp_path,
        "2011-12-10 00:00:00",
    )
    assert db.execute(
        "select count(*), sum(bought)::bigint, round(sum(spent::decimal(38, 4)), 3)::varchar from person_tags"
    ).fetchall() == [(4338, 18532, "8911407.904")]
    by_hand = """
        select person_id, count(*) as f, sum(net_value) as m, datediff('second', max(ordered_at), timestamp '2011-12-10') // 86400 as days
        from person_order group by 1
    """
    wrong = db.execute(
        f"""
        with c as ({by_hand})
        select count(*), count(distinct rfm.rfm) from c inner join person_rfm as rfm using (person_id)
        where rfm.frequency <> c.f or rfm.monetary::decimal(38, 4) <> c.m or rfm.recency_days <> c.days
            or rfm.f <> 1 + (c.f >= 2)::int + (c.f >= 3)::int + (c.f >= 5)::int + (c.f >= 10)::int
            or rfm.r <> 5 - (c.days >= 31)::int - (c.days >= 91)::int - (c.days >= 181)::int - (c.days >= 271)::int
            or rfm.m <> 1 + floor(5.0 * (select count(*) from c as worse where worse.m < c.m) / 4338)::int
        """
    ).fetchall()
    assert wrong == [(0, 0)]
    assert db.execute("select count(*), min(m), max(m) from person_rfm").fetchall() == [(4338, 1, 5)]


def test_completejourney(tmp_path: Path) -> None:
    """The sum of sales survives tags, and every household is there once."""
    db = customers(
        f"""select 'h' || household_id as person_id, basket_id::varchar as order_key, min(transaction_timestamp)::timestamp as ordered_at,
            sum(sales_value::decimal(18, 4)) as net_value from '{JOURNEY}' group by 1, 2""",
        tmp_path,
        "2018-02-01 00:00:00",
    )
    households, total, tagged = db.execute(
        "select count(*), round(sum(spent::decimal(38, 4)), 2)::varchar, count(*) filter (bought > 0) from person_tags"
    ).fetchall()[0]
    assert (households, total, tagged) == (2377, "233935.24", 2377)


def test_snowplow_sessions() -> None:
    """Visits are the sessions that Snowplow's tracker numbered: first and last moment, events counted once, page views, first and last
    page; and what the file is said to hold: repeats, a ping without a page, late arrival, cookies that rotate."""
    db = warehouse()
    db.execute(
        "alter table person_event add column event_type varchar; alter table person_event add column page_url varchar"
    )
    for column in ("referrer", "utm_source", "utm_medium", "utm_campaign"):
        db.execute(f"alter table person_event add column {column} varchar")
    db.execute(
        f"""create table landed as select * from read_csv('{SNOWPLOW}', all_varchar = true) where event_name in ('page_view', 'page_ping')
        and domain_userid is not null qualify row_number() over (partition by event_id order by collector_tstamp, derived_tstamp) = 1"""
    )
    db.execute(
        """insert into person_event by name select domain_userid as person_id, event_id as event_key, 'web' as channel, 'page' as event_type,
            case event_name when 'page_view' then 'Page Viewed' else 'Page Pinged' end as event_name,
            derived_tstamp::timestamp as occurred_at, page_urlpath as page_path, page_url, page_referrer as referrer,
            mkt_source as utm_source, mkt_medium as utm_medium, mkt_campaign as utm_campaign from landed"""
    )
    sql = (MODELS / "profiles" / "person_session.sql").read_text(encoding="utf-8")
    sql = sql.replace("{% set pause_minutes = 30 %}", "").replace("{{ pause_minutes }}", "30")
    db.execute(f"create table person_session as {runnable(sql, '2021-04-01 00:00:00')}")
    assert db.execute(
        "select count(*), sum(event_count)::int, sum(page_view_count)::int from person_session"
    ).fetchall()[0][1:] == (56, 48)
    labels = ", ".join(f"'{label}'" for label in NO_VISITS)
    columns = "person_id, started_at, ended_at, event_count, page_view_count, entry_page_path, exit_page_path"
    theirs = db.execute(
        f"""select domain_userid, min(derived_tstamp::timestamp), max(derived_tstamp::timestamp), count(*),
            count(*) filter (event_name = 'page_view'), arg_min(page_urlpath, (derived_tstamp, event_id)),
            arg_max(page_urlpath, (derived_tstamp, event_id))
        from landed where user_id not in ({labels}) group by domain_userid, domain_sessionid order by all"""
    ).fetchall()
    cookies = f"select domain_userid from landed where user_id not in ({labels})"
    ours = db.execute(f"select {columns} from person_session where person_id in ({cookies}) order by all").fetchall()
    assert ours == theirs
    assert len(ours) >= 12
