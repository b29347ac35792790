"""A source in a real Postgres, with the types that SQLite has not: moments with a zone, exact numbers, JSON, UUIDs, lists, bytes."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import psycopg
import pytest

from tests.ingest.conftest import Project
from tests.postgres import Postgres, postgres  # noqa: F401 - a fixture

SOURCE = """
connection: [url]
tables:
  visits:
    description: Visits.
    sql_table: visits
    cursor: seen_at
    required: [visit_id, seen_at]
    columns:
      visit_id: text
      seen_at: timestamp
      paid: double
      is_new: bool
      details: json
      born_on: date
      view_count: bigint
"""
TABLE = """
create table visits (visit_id uuid primary key, seen_at timestamptz not null, paid numeric(20, 4), is_new boolean,
    details jsonb, born_on date, view_count bigint, tags text[], picture bytea);
create view big_visits as select visit_id, seen_at, paid from visits where paid > 100
"""


def test_types_moments_and_changes_of_a_postgres_table(
    project: Project,
    postgres: Postgres,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = postgres.schema_url()
    monkeypatch.setenv("CDP_CLINIC__URL", url)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as con:

        def visit(n: int, seen_at: str, paid: str = "1.5") -> None:
            con.execute(
                "insert into visits values (%s, %s, %s, true, %s, date '1999-12-31', 9007199254740993, '{a,\"b c\"}', '\\xffee')"
                " on conflict (visit_id) do update set seen_at = excluded.seen_at, paid = excluded.paid",
                [f"00000000-0000-0000-0000-{n:012}", seen_at, paid, '{"路": [1, null]}'],
            )

        con.execute(TABLE)
        source = project.declare("clinic", SOURCE, "sql_database")
        visit(1, "2026-01-01 08:00:00.123456+08")
        visit(2, "2026-01-01 00:00:00.123456Z", "12345678901.2345")
        assert project.load(source).rows == {"visits": 2}
        assert project.load(source).total == 0
        visit(3, "2026-01-01 00:00:00.123456Z")  # the moment that was read last, in another zone
        visit(1, "2026-01-01 09:00:00+09", "7")  # an earlier one: not seen again, as its time says that it is old
        visit(2, "2026-02-01 00:00:00Z", "8")
        assert project.load(source).rows == {"visits": 2}
        found = project.query(
            "select right(visit_id, 1), list(paid order by _cdp_sequence) from raw.clinic__visits group by 1 order by 1"
        )
        assert found == [("1", [1.5]), ("2", [12345678901.2345, 8.0]), ("3", [1.5])]
        (row,) = project.query(
            "select seen_at::timestamp, is_new, details, born_on, view_count, tags, picture from raw.clinic__visits where visit_id like '%3'"
        )
        seen_at, is_new, details, born_on, view_count, tags, picture = row
        assert (seen_at, is_new, view_count) == (datetime(2026, 1, 1, 0, 0, 0, 123456), True, 9007199254740993)  # noqa: DTZ001
        assert (str(born_on), details, tags, picture) == (
            "1999-12-31",
            '{"路":[1,null]}',
            '["a","b c"]',
            "\\xff\\xee",
        )

        (project.settings.project_root / "ingest" / "sources" / "clinic.yml").unlink()
        small = project.declare(
            "big",
            SOURCE[: SOURCE.index("      is_new")].replace("sql_table: visits", "sql_table: big_visits"),
            "sql_database",
        )
        monkeypatch.setenv("CDP_BIG__URL", url)
        visit(4, "2026-03-01 00:00:00Z", "100.5")
        assert project.load(small).rows == {"visits": 1}, "a view without a key"
        assert Decimal(str(project.values("big__visits", "paid")[0])) == Decimal("100.5")
