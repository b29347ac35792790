"""Rows as of a cut-off hold what was known then, and nothing else.

The property: take every fact that happened or arrived after the cut-off out of the warehouse, and the features stay the same.
"""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cdp.declarations import Document, parse
from cdp.settings import get_settings
from predictions.declaration import ModelFile
from predictions.features import check_outcome, compiled, rows_at
from predictions.outcome_model import cutoffs_of

EXAMPLES = int(os.environ.get("CDP_TEST_EXAMPLES", "5"))
START = datetime.fromisoformat("2026-01-01")  # UTC, without a zone as in the warehouse
MODEL = """
name: tried
owner: data
description: Tried.
type: outcome
horizon_days: 10
population: events >= 1
label:
  any_of: [{over: order, where: is_revenue}]
features:
  - {name: events, over: event, aggregate: count}
  - {name: views_7d, over: event, aggregate: count, where: event_name = 'Viewed', window_days: 7}
  - {name: spent, over: order, aggregate: sum, of: gross_value}
  - {name: last_channel, over: event, aggregate: last, of: channel}
  - {name: usual_channel, over: event, aggregate: most_frequent, of: channel}
  - {name: days_since, over: event, aggregate: days_since}
  - {name: first_at, over: event, aggregate: min, of: occurred_at}
"""


def document(text: str = MODEL, **changes: str) -> Document[ModelFile]:
    for found, put in changes.items():
        text = text.replace(found, put)
    return parse(text, Path("tried.yml"), ModelFile)


def warehouse(seed: int) -> duckdb.DuckDBPyConnection:
    """Twelve persons (two outside the audience), their events (a third arrives late) and orders over 40 days."""
    draw = random.Random(seed)
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'; create schema profiles")
    con.execute("create table profiles.person (person_id varchar, first_seen_at timestamp)")
    con.execute("create table profiles.audience (person_id varchar)")
    con.execute(
        "create table profiles.person_event (person_id varchar, event_key varchar, event_name varchar,"
        " occurred_at timestamp, received_at timestamp, channel varchar)"
    )
    con.execute(
        "create table profiles.person_order (person_id varchar, order_key varchar, ordered_at timestamp,"
        " gross_value decimal(18, 4), is_revenue boolean)"
    )
    persons = [f"p{n:02}" for n in range(12)]
    con.executemany(
        "insert into profiles.person values (?, ?)", [(p, START + timedelta(days=draw.random() * 30)) for p in persons]
    )
    con.executemany("insert into profiles.audience values (?)", [(p,) for p in persons[:10]])
    events = []
    for number in range(200):
        at = START + timedelta(seconds=draw.randrange(40 * 86400))
        late = at + timedelta(seconds=draw.randrange(5 * 86400)) if draw.random() < 0.3 else draw.choice([None, at])
        events.append(
            (
                draw.choice(persons),
                f"e{number:03}",
                draw.choice(["Viewed", "Bought"]),
                at,
                late,
                draw.choice(["web", "app", None]),
            )
        )
    con.executemany("insert into profiles.person_event values (?, ?, ?, ?, ?, ?)", events)
    orders = [
        (draw.choice(persons), f"o{n:03}", START + timedelta(seconds=draw.randrange(40 * 86400)), draw.randrange(1, 9000) / 100, draw.random() < 0.8)
        for n in range(60)
    ]  # fmt: skip
    con.executemany("insert into profiles.person_order values (?, ?, ?, ?, ?)", orders)
    return con


def rows(con: duckdb.DuckDBPyConnection, cutoff: datetime, *, labelled: bool) -> list[tuple[Any, ...]]:
    checked = compiled(document(), get_settings())
    return con.execute(rows_at(checked, cutoff.isoformat(), labelled=labelled)).fetchall()


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_what_comes_later_changes_no_feature(seed: int) -> None:
    print(f"seed {seed}")
    con = warehouse(seed)
    cutoff = START + timedelta(days=20)
    before = rows(con, cutoff, labelled=False)
    assert before
    moment = {"cutoff": cutoff}
    gone = con.execute(
        "delete from profiles.person_event where occurred_at > $cutoff or received_at > $cutoff returning event_key",
        moment,
    ).fetchall()
    con.execute("delete from profiles.person_order where ordered_at > $cutoff", moment)
    assert gone, "nothing came later: the example proves nothing"
    assert rows(con, cutoff, labelled=False) == before


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_rows_are_those_of_a_naive_count(seed: int) -> None:
    """Who is there, two features and the label, counted in Python."""
    print(f"seed {seed}")
    con = warehouse(seed)
    cutoff = START + timedelta(days=20)
    known = con.execute(
        "select person_id, first_seen_at from profiles.person join profiles.audience using (person_id)"
    ).fetchall()
    events = con.execute(
        "select person_id, event_name, occurred_at, coalesce(received_at, occurred_at) from profiles.person_event"
    ).fetchall()
    orders = con.execute("select person_id, ordered_at, is_revenue from profiles.person_order").fetchall()
    expected = {}
    for person, first in known:
        mine = [(n, at) for p, n, at, had in events if p == person and at <= cutoff and had <= cutoff]
        if first <= cutoff and mine:
            views = sum(n == "Viewed" and at > cutoff - timedelta(days=7) for n, at in mine)
            label = any(p == person and r and cutoff < at <= cutoff + timedelta(days=10) for p, at, r in orders)
            expected[person] = (len(mine), views, int(label))
    found = {r[0]: (r[1], r[2], r[-1]) for r in rows(con, cutoff, labelled=True)}
    assert found == expected


def test_no_outcome_is_learnt_that_was_open_at_the_held_out_moment() -> None:
    model = document().value.root
    learnt, held_out = cutoffs_of(model, "2026-04-01T00:00:00")  # type: ignore[arg-type]
    horizon = timedelta(days=10)
    assert datetime.fromisoformat(held_out) + horizon == datetime.fromisoformat("2026-04-01")
    assert learnt == sorted(learnt)
    assert all(datetime.fromisoformat(m) + horizon <= datetime.fromisoformat(held_out) for m in learnt)


@pytest.mark.parametrize(
    ("found", "put", "said"),
    [
        ("of: gross_value", "of: net_value", "leaks: net_value of order is filled in later"),
        ("where: event_name = 'Viewed'", "where: event_nam = 'Viewed'", 'did you mean "event_name"?'),
        ("population: events >= 1", "population: event >= 1", 'did you mean "events"?'),
        ("where: is_revenue", "where: net_value", "is a number"),
        ("name: spent, over: order", "name: spent, over: lead", "unknown column"),
    ],
)
def test_a_wrong_declaration_is_told_where_and_why(found: str, put: str, said: str) -> None:
    errors = check_outcome(document(MODEL.replace(found, put)), get_settings())
    assert len(errors) == 1
    assert said in errors[0].render()
    assert errors[0].where.startswith("tried.yml:")


def test_every_column_that_tells_the_end_of_an_order_or_a_lead_is_refused() -> None:
    for over, column in [
        ("order", c) for c in ("status", "is_revenue", "refund_value", "net_value", "last_refunded_at")
    ] + [("lead", c) for c in ("stage", "closed_at", "is_won", "value")]:
        text = MODEL.replace(
            "name: spent, over: order, aggregate: sum, of: gross_value",
            f"name: spent, over: {over}, aggregate: max, of: {column}",
        )
        errors = check_outcome(document(text), get_settings())
        assert [f"leaks: {column} of {over}" in e.what for e in errors] == [True], column
