"""The query of an unexpected_rows check: what is refused, and how it reaches Great Expectations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from expectations.queries import QueryError, check_query, compiled

SCHEMAS = ["raw", "profiles"]
TABLES = {
    "": {"batch": ("a", "b", "seen_at")},
    "raw": {"known": ("a", "c"), "undeclared": None},
}
REFUSED = {
    "select 1 from": "a query that DuckDB can read",
    "select 'no end from batch": "a query that DuckDB can read",
    "": "one select",
    "select 1 from batch; select 2 from batch": "one select",
    "insert into batch select 1": "one select",
    "drop table batch": "one select",
    "pragma version": "one select",
    "copy batch to 'out.csv'": "one select",
    "select 1 from raw.known": 'a query over "batch"',
    "select 1 from known, batch": 'not "known"',
    "select 1 from batch, secret.known": 'not "secret"',
    "select 1 from batch, rwa.known": 'did you mean "raw"?',
    "select 1 from batch, other.raw.known": "a schema among raw, profiles",
    "select 1 from batch, read_csv('in.csv')": "not a table function",
    "select 1 from batch, 'in.csv'": 'not "in.csv"',
    "select getenv('HOME') from batch": 'not "getenv"',
    "select 1 from batch where seen_at > now()": '$as_of, not the clock ("now")',
    "select 1 from batch where seen_at > current_timestamp": "$as_of, not the clock",
    "select 1 from batch where seen_at > current_date": "$as_of, not the clock",
    "select 1 from batch where seen_at > today()": "$as_of, not the clock",
    "select 1 from batch where random() < 0.5": "no chance",
    "select uuid() from batch": "no chance",
    "select 1 from batch where seen_at > $until": "no parameter but $as_of",
    "select 1 from batch where aa = 1": "columns that the tables have",
    "select b.c from batch as b": "columns that the tables have",
    "select 1 from batch as x inner join raw.known as k on k.a = x.a where k.b = 1": "columns that the tables have",
}
ACCEPTED = [
    "select 1 from batch where seen_at > $as_of + interval 1 day",
    "from batch where a is null",
    "with twice as (select a from batch group by a having count(*) > 1) select * from twice",
    "select 1 from batch as x inner join raw.known as k using (a) where k.c > x.b",
    "select 1 from batch, raw.undeclared where whatever = 1",
    "select 1 from batch as one inner join batch as two on one.a = two.b",
    "select 1 from batch where a in (select a from raw.known) union all select 2 from batch",
    "select unnest([1, 2]) from batch",
]


@pytest.mark.parametrize("query", REFUSED, ids=str)
def test_refused(query: str) -> None:
    with pytest.raises(QueryError) as caught:
        check_query(query, SCHEMAS, TABLES)
    assert REFUSED[query] in str(caught.value)
    assert "\x1b" not in str(caught.value), "sqlglot's colours are no text"


@pytest.mark.parametrize("query", ACCEPTED)
def test_accepted(query: str) -> None:
    check_query(query, SCHEMAS, TABLES)


def test_columns_are_not_judged_when_they_are_not_declared() -> None:
    check_query("select 1 from batch where anything > 1", SCHEMAS, {"": {"batch": None}})


@pytest.mark.parametrize(
    "as_of",
    [
        datetime(2026, 3, 1, 16, 30),  # noqa: DTZ001 - without a zone it is UTC
        datetime(2026, 3, 2, 0, 30, tzinfo=timezone(timedelta(hours=8))),
    ],
)
def test_as_of_is_utc_whatever_zone_it_comes_in(as_of: datetime) -> None:
    assert "CAST('2026-03-01 16:30:00.000000' AS TIMESTAMP)" in compiled(
        "select 1 from batch where seen_at > $as_of", as_of
    )


def test_only_the_batch_is_left_to_fill_in() -> None:
    """Great Expectations fills the query with str.format and hands it to SQLAlchemy's text()."""
    query = compiled(
        "select 1 from batch where a ~ '[[:space:]]{2,}' and b = '{batch}' and a like '%:x%'",
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    filled = query.format(batch="(select 1)")
    assert filled.count("(select 1)") == 1
    assert "{2,}" in filled and "{batch}" in filled
    assert ":s" not in filled and ":x" not in filled
