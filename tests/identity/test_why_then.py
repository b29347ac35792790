"""`cdp identity why --as-of`: the persons of a past run with the evidence that it had, and not today's."""

from __future__ import annotations

import os
import random
from datetime import date

import duckdb
import pytest

from cdp.identity.then import edges_then, run_of
from cdp.identity.why import explain
from tests.identity import graphs
from tests.identity.engine import MODELS, Engine
from tests.identity.oracle import Override, Seen, Type, key

EXAMPLES = int(os.environ.get("CDP_IDENTITY_EXAMPLES", "10"))
USER, MAIL, PHONE = (Type(1, 1, 1), Type(2, 2), Type(3, 2))


def as_warehouse(engine: Engine) -> duckdb.DuckDBPyConnection:
    """The engine's tables under the names that they have in the warehouse."""
    con = engine.con
    con.execute("create or replace table identity_quarantine (person_id varchar)")
    for schema, tables in (("identity", [*MODELS, "identity_quarantine"]), ("conformed", ["identifier_observation"])):
        con.execute(f"create schema if not exists {schema}")
        for table in tables:
            con.execute(f"create or replace view {schema}.{table} as select * from main.{table}")
    return con


def three_days() -> Engine:
    """The mailbox ties the phone on day 1, the user on day 2; day 3 brings a second user, who is refused, and a shorter way."""
    engine = Engine(blocked=graphs.BLOCKED)
    graphs.prepare(engine, {"user_id": USER, "email": MAIL, "phone": PHONE})
    days = [
        [Seen("r1", 1, "email", "m"), Seen("r1", 1, "phone", "p")],
        [Seen("r2", 2, "user_id", "a"), Seen("r2", 2, "email", "m")],
        [Seen("r3", 3, "user_id", "b"), Seen("r3", 3, "phone", "p"), Seen("r4", 4, "user_id", "a"), Seen("r4", 4, "phone", "p")],
    ]  # fmt: skip
    for number, rows in enumerate(days, 1):
        engine.as_of = f"2026-03-0{number}"
        graphs.observe(engine, rows)
        engine.run()
    return engine


def test_the_chain_is_that_of_then() -> None:
    con = as_warehouse(three_days())
    today = explain(con, ["user_id:a", "phone:p"])
    then = explain(con, ["user_id:a", "phone:p"], "2026-03-02T12:00:00")
    assert [link.record_id for link in today.chain] == ["r4"]
    assert [link.record_id for link in then.chain] == ["r2", "r1"]
    assert (then.same, then.verdict) == (True, "one person then")
    assert [i["type"] for i in then.persons[0].identifiers] == ["email", "phone", "user_id"]


def test_who_was_not_there_and_what_was_not_yet_refused() -> None:
    con = as_warehouse(three_days())
    before = explain(con, ["user_id:b", "phone:p"], "2026-03-02")
    assert (before.persons[0].person_id, before.persons[0].remark) == (None, "was not there yet")
    assert before.verdict == "not one person then: user_id:b was nobody's"
    after = explain(con, ["user_id:b", "phone:p"], "2026-03-03")
    assert after.verdict == "two persons then: evidence was refused by limit:user_id"
    assert [link.refused for link in after.chain] == ["limit:user_id"]
    assert explain(con, ["phone:p"], "2026-03-02").persons[0].refused == []
    assert len(explain(con, ["phone:p"], "2026-03-03").persons[0].refused) == 1
    assert explain(con, ["phone:p"], "2026-02-01").persons[0].remark == "there was no run yet"


def test_an_override_counts_from_its_day() -> None:
    engine = three_days()
    graphs.set_overrides(engine, [Override("never", ("user_id", "a"), ("phone", "p"), date(2026, 3, 4))])
    engine.as_of = "2026-03-04"
    engine.run()
    con = as_warehouse(engine)
    assert "because of an override" in explain(con, ["user_id:a", "phone:p"], "2026-03-04").verdict
    assert explain(con, ["user_id:a", "phone:p"], "2026-03-03").verdict == "one person then"


def test_evidence_that_was_deleted_since_is_told() -> None:
    engine = three_days()
    graphs.retract(engine, [Seen("r1", 1, "email", "m")])
    con = as_warehouse(engine)
    found = explain(con, ["email:m", "phone:p"], "2026-03-01")
    assert found.same is True, "the log knows it still"
    assert found.chain == []
    assert "deleted or corrected since" in found.verdict


def test_what_went_and_came_again_is_there_again() -> None:
    engine = three_days()
    row = Seen("r9", 9, "email", "back")
    for number, step in enumerate((graphs.observe, graphs.retract, graphs.observe), 4):
        engine.as_of = f"2026-03-0{number}"
        step(engine, [row])
        engine.run()
    con = as_warehouse(engine)
    persons = [explain(con, ["email:back"], f"2026-03-0{day}").persons[0] for day in (4, 5, 6)]
    assert [p.person_id is None for p in persons] == [False, True, False]
    assert persons[1].remark.startswith("had gone in run")


@pytest.mark.parametrize("number", range(EXAMPLES // 3 or 1))
def test_evidence_is_what_the_tables_held(number: int) -> None:
    """Random graphs in batches: the edges and refusals found again for each past run are those that its tables had."""
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    types = graphs.random_rules(rng)
    rows = sorted(graphs.random_rows(rng, types, rng.choice([8, 25, 60])), key=lambda r: r.sequence)
    overrides, matches = graphs.random_overrides(rng, rows), graphs.random_matches(rng, rows)
    engine = Engine(threads=1, blocked=graphs.BLOCKED)
    graphs.prepare(engine, types)
    graphs.set_overrides(engine, overrides)
    graphs.set_matches(engine, matches)
    held: dict[str, set[tuple[object, ...]]] = {}
    ends = [rows[len(rows) * step // 3 - 1].sequence for step in (1, 2, 3)]
    for day, (low, high) in enumerate(zip([-1, *ends], ends, strict=False), 1):
        engine.as_of = f"2026-03-0{day}"
        graphs.observe(engine, [r for r in rows if low < r.sequence <= high])
        engine.run()
        held[engine.as_of] = set(
            engine.con.execute(
                "select e.left_key, e.right_key, e.tier, e.sequence, r.rule from identity_edge as e"
                " left join identity_refusal as r on e.left_key = r.left_key and e.right_key = r.right_key"
            ).fetchall()
        )
    con = as_warehouse(engine)
    for as_of, edges in held.items():
        run = run_of(con, as_of)
        assert run is not None
        found = edges_then(con, sorted({key(r.name) for r in rows}), run)
        assert set(map(tuple, found)) == edges
        some = [key(rng.choice(rows).name)]
        assert set(map(tuple, edges_then(con, some, run))) <= edges
