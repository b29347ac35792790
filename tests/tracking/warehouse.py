"""Events as the warehouse judges them: the generated query, on a raw table of the same events."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import duckdb
import sqlglot

from cdp.sources import Column, Source, Table
from cdp.tracking_plan import EVENT_COLUMNS, Plan
from dbt_declarations.tracking import violation_query
from dbt_declarations.tracking_streams import raw_streams

Found = list[list[tuple[str, str, str | None, str]]]
SOURCE = Source(
    name="website",
    description="",
    owner="o",
    kind="event_log",
    tables={
        "events": Table(
            description="",
            files="e.jsonl",
            format="jsonl",
            columns={name: Column(type="text") for name in sorted(EVENT_COLUMNS)},
        )
    },
)


def connection() -> duckdb.DuckDBPyConnection:
    """A database with an empty raw table."""
    con = duckdb.connect(config={"threads": 1, "disabled_optimizers": "outer_join_simplification"})
    con.execute("set TimeZone = 'UTC'")
    con.execute(
        "create table source__website__events (_cdp_sequence bigint, message_id varchar, type varchar, event varchar, "
        'name varchar, properties varchar, traits varchar, context varchar, "timestamp" timestamptz)'
    )
    return con


def judged(con: duckdb.DuckDBPyConnection, plan: Plan, events: Sequence[dict[str, Any]]) -> Found:
    """For each event its violations (rule, path, found, action), sorted."""
    con.execute("delete from source__website__events")
    rows = [
        [
            n,
            f"m{n}",
            *(e.get(k) for k in ("type", "event", "name")),
            *(_text(e, k) for k in ("properties", "traits", "context")),
        ]
        for n, e in enumerate(events)
    ]
    con.executemany("insert into source__website__events values (?, ?, ?, ?, ?, ?, ?, ?, now())", rows)
    stream = raw_streams(plan, SOURCE, "events")[0]
    query = violation_query(plan, [stream], {("website", "website__events"): "v"})
    text = sqlglot.parse_one(query, dialect="duckdb").sql(dialect="duckdb", comments=False)
    found: Found = [[] for _ in events]
    for sequence, *violation in con.execute(
        f"select sequence, rule, path, found, action from ({re.sub('through__0', '-1', text)})"
    ).fetchall():
        found[sequence].append(tuple(violation))
    return [sorted(one, key=str) for one in found]


def _text(event: dict[str, Any], key: str) -> str | None:
    return json.dumps(event[key], ensure_ascii=False) if key in event else None
