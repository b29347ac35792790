"""Rows as of a cut-off are those of a warehouse that ended there: facts, arrivals, and who was whom.

A world of records is built twice: whole, and with everything that came after the cut-off left out and identity told from the rest. The
rows of the cut-off in the first must be the rows of now in the second.
"""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest

from cdp.settings import get_settings
from predictions.features import compiled, rows_at
from predictions.lifetime_rows import lifetime_sql
from predictions.then import place, remember_evidence
from tests.predictions.identities import Record, fill, tell_apart
from tests.predictions.test_cutoffs import MODEL, START, document

EXAMPLES = int(os.environ.get("CDP_TEST_EXAMPLES", "5"))
CUTOFF = START + timedelta(days=20)
ACCOUNTS = ("north", "south", "west")
LEADS = "  - {name: leads, over: lead, aggregate: count}\n  - {name: moves, over: stage_change, aggregate: count}\n"


def world(seed: int) -> dict[str, list[Any]]:
    """Records of 40 days: events and orders with one identifier or two that tie each other, some arriving late; leads and their moves."""
    draw = random.Random(seed)
    found: dict[str, list[Any]] = {"event": [], "order": [], "lead": [], "stage_change": []}
    for sequence in range(260):
        at = START + timedelta(seconds=draw.randrange(40 * 86400))
        late = at + timedelta(seconds=draw.randrange(5 * 86400)) if draw.random() < 0.3 else None
        keys = tuple(draw.sample(range(60), 2 if draw.random() < 0.2 else 1))
        kind = draw.choices(["event", "order", "lead"], [10, 6, 1])[0]
        record = Record(sequence, at, late if kind == "event" else None, keys)
        said = draw.choice(["Viewed", "Bought"]), draw.choice(["web", "app", None]), draw.randrange(1, 9000) / 100
        found[kind].append((record, *said))
        if kind == "lead":
            moved = Record(1000 + sequence, at + timedelta(days=draw.randrange(9)), None, (99,))
            found["stage_change"].append((moved, record))
    return found


def warehouse(world: dict[str, list[Any]], until: datetime | None = None) -> duckdb.DuckDBPyConnection:
    """The tables that models read, of what was known until a moment (None: of everything)."""
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'; create schema profiles")
    there = {k: [row for row in rows if until is None or row[0].known_at <= until] for k, rows in world.items()}
    records = [row[0] for kind in ("event", "order", "lead") for row in there[kind]]
    persons = tell_apart(con, records)
    first: dict[str, datetime] = {}
    for record in records:
        for key in record.keys:
            first[persons[key]] = min(first.get(persons[key], record.observed_at), record.observed_at)
    tables: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
        "person": ("person_id varchar, first_seen_at timestamp", sorted(first.items())),
        "audience": ("person_id varchar", [(p,) for p in sorted(first)]),
        "person_event": (
            "person_id varchar, event_key varchar, event_name varchar, occurred_at timestamp, received_at timestamp, channel varchar,"
            " sequence bigint",
            [(persons[r.keys[0]], f"e{r.sequence}", n, r.observed_at, r.received_at, c, r.sequence) for r, n, c, _ in there["event"]],
        ),
        "person_order": (
            "person_id varchar, order_key varchar, ordered_at timestamp, gross_value decimal(18, 4), is_revenue boolean, sequence bigint",
            [(persons[r.keys[0]], f"o{r.sequence}", r.observed_at, v, n == "Bought", r.sequence) for r, n, _, v in there["order"]],
        ),
        "person_lead": (
            "person_id varchar, object_type varchar, object_key varchar, created_at timestamp, account_key varchar, sequence bigint",
            [(persons[r.keys[0]], "lead", f"l{r.sequence}", r.observed_at, None, r.sequence) for r, *_ in there["lead"]],
        ),
        "person_stage_change": (
            "person_id varchar, object_type varchar, object_key varchar, changed_at timestamp, account_key varchar, sequence bigint",
            [(persons[lead.keys[0]], "lead", f"l{lead.sequence}", r.observed_at, None, r.sequence) for r, lead in there["stage_change"]],
        ),
    }  # fmt: skip
    for table, (columns, rows) in tables.items():
        con.execute(f"create table profiles.{table} ({columns})")
        fill(con, f"profiles.{table}", rows)
    con.execute("create table conformed.account_record (account_key varchar, created_at timestamp)")
    fill(con, "conformed.account_record", [(a, START) for a in ACCOUNTS])
    con.execute("create table conformed.account_member (sequence bigint, account_key varchar)")
    con.execute("create table conformed.contact_attribute (sequence bigint, observed_at timestamp)")
    members = [(r.sequence, r.observed_at) for r in records if r.sequence % 5 == 0]
    fill(con, "conformed.account_member", [(s, ACCOUNTS[s % 3]) for s, _ in members])
    fill(con, "conformed.contact_attribute", members)
    return con


def rows(
    con: duckdb.DuckDBPyConnection, *, then: bool, labelled: bool = False, grain: str = "person"
) -> list[tuple[Any, ...]]:
    """The rows of the cut-off, by the ids of today."""
    if then:
        remember_evidence(con)
        place(con, CUTOFF.isoformat())
    text = (MODEL + LEADS).replace("type: outcome\n", f"type: outcome\ngrain: {grain}\n")
    checked = compiled(document(text), get_settings())
    return con.execute(rows_at(checked, CUTOFF.isoformat(), labelled=labelled, then=then)).fetchall()


def told(found: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    """Features without ids, in an order that does not depend on them."""
    return sorted(tuple(map(str, row[1:])) for row in found)


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_rows_are_those_of_a_warehouse_that_ended_at_the_cutoff(seed: int) -> None:
    print(f"seed {seed}")
    made = world(seed)
    whole, ended = warehouse(made), warehouse(made, until=CUTOFF)
    assert told(rows(whole, then=True)) == told(rows(ended, then=False))
    assert told(rows(ended, then=True)) == told(rows(ended, then=False)), "now, both are the same"
    assert told(rows(whole, then=False)) != told(rows(ended, then=False)), (
        "nobody became one: the example proves nothing"
    )


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_accounts_have_the_people_who_were_known_to_be_theirs(seed: int) -> None:
    print(f"seed {seed}")
    made = world(seed)
    whole, ended = warehouse(made), warehouse(made, until=CUTOFF)
    found = rows(whole, then=True, grain="account")
    assert len(found) == len(ACCOUNTS)
    assert found == rows(ended, then=False, grain="account")
    assert found != rows(whole, then=False, grain="account"), "nobody became one: the example proves nothing"


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_outcomes_are_those_of_who_it_is_today(seed: int) -> None:
    """Each row has the id of today's person, and their outcome; a person who was several then has several rows."""
    print(f"seed {seed}")
    made = world(seed)
    con = warehouse(made)
    found = rows(con, then=True, labelled=True)
    bought = {
        person
        for person, at, revenue in con.execute(
            "select person_id, ordered_at, is_revenue from profiles.person_order"
        ).fetchall()
        if revenue and CUTOFF < at <= CUTOFF + timedelta(days=10)
    }
    assert all(row[-1] == (row[0] in bought) for row in found)
    assert {row[-1] for row in found} == {0, 1}
    assert len({row[0] for row in found}) < len(found)


VALUE = """
name: worth
owner: data
description: Tried.
type: lifetime_value
horizon_days: 365
holdout_days: 10
value: gross_value
"""


def buyers(con: duckdb.DuckDBPyConnection, *, then: bool) -> list[tuple[Any, ...]]:
    """entity_id; frequency, recency, age, spend; orders and value of the ten days after."""
    if then:
        remember_evidence(con)
        place(con, CUTOFF.isoformat())
    sql = lifetime_sql(document(VALUE), get_settings(), then=then)
    return con.execute(sql, {"as_of": CUTOFF.isoformat(), "days": 10}).fetchall()


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_buyers_are_those_of_then_and_no_order_afterwards_counts_twice(seed: int) -> None:
    print(f"seed {seed}")
    made = world(seed)
    whole, ended = warehouse(made), warehouse(made, until=CUTOFF)
    found, today = buyers(whole, then=True), buyers(whole, then=False)
    assert told([row[:5] for row in found]) == told([row[:5] for row in buyers(ended, then=False)])
    assert len(found) > len(today), "nobody became one: the example proves nothing"
    for column in (5, 6):
        assert sum(row[column] for row in found) == pytest.approx(sum(row[column] for row in today))


def test_decisions_count_from_their_day_and_refusals_never_tie() -> None:
    """Two persons whom people declared one before the cut-off are one then; of a pair that is refused today nothing is told."""
    at = START + timedelta(days=1)
    events = [
        (Record(n, at, None, keys), "Viewed", "web", 1.0) for n, keys in enumerate([(1,), (2,), (3,), (4,), (5, 6)])
    ]
    con = warehouse({"event": events, "order": [], "lead": [], "stage_change": []})
    con.execute("update identity.identity_person set person_id = 'p001' where identifier_key in (1, 2, 3, 4)")
    con.execute(
        "insert into identity.identity_edge select left_key, right_key, tier, coalesce(date_diff('day', date '1970-01-01', decided_on), 99990)"
        " from (values (1, 2, 0, date '2026-01-10'), (1, 3, 0, date '2026-01-30'), (1, 4, 99, null), (5, 6, 1, null))"
        " as t (left_key, right_key, tier, decided_on)"
    )
    con.execute("insert into identity.identity_refusal values (5, 6)")
    remember_evidence(con)
    place(con, CUTOFF.isoformat())
    found = con.execute(
        "select list(identifier_key order by identifier_key) from identifier_then group by entity_key order by 1"
    ).fetchall()
    assert found == [([1, 2, 4],), ([3],), ([5],), ([6],)]
