"""What the log says about merges, splits and refusals, and what stops a run or keeps persons in the warehouse."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest

from cdp.settings import PROJECT_ROOT
from tests.identity import graphs
from tests.identity.engine import Engine
from tests.identity.oracle import Override, Seen, Type, answer

TYPES = {
    "user_id": Type(1, most=1),
    "email": Type(2, tier=2),
    "phone": Type(3, tier=2, shared_above=5),
    "anonymous_id": Type(4, tier=3),
}


def engine_with(rows: list[Seen]) -> Engine:
    engine = Engine()
    graphs.prepare(engine, TYPES)
    graphs.observe(engine, rows)
    return engine


def events(engine: Engine, run: int) -> list[tuple[object, ...]]:
    return engine.con.execute(
        "select event, previous_person_id, person_id, rule, record_id from identity_event where run_no = ? order by all",
        [run],
    ).fetchall()


def test_a_merge_is_logged_with_its_record_and_can_be_taken_back() -> None:
    before = [
        Seen("r1", 1, "anonymous_id", "cookie"),
        Seen("r2", 2, "email", "m"),
        Seen("r2", 2, "user_id", "u"),
        Seen("r3", 3, "anonymous_id", "other"),
    ]
    login = [Seen("r4", 4, "user_id", "u"), Seen("r4", 4, "anonymous_id", "cookie")]
    engine = engine_with(before)
    engine.run()
    old, then = answer(before, TYPES, [], set()).persons, answer(before + login, TYPES, [], set()).persons
    cookie, user = ("anonymous_id", "cookie"), ("user_id", "u")
    assert old[cookie] != old[user] and then[cookie] == then[user] == old[cookie], "the older person survives"
    graphs.observe(engine, login)
    engine.run()
    assert events(engine, 2) == [("merged", old[user], old[cookie], "tier 3", "r4")]
    graphs.retract(engine, login)
    engine.run()
    assert events(engine, 3) == [("split", then[user], old[user], None, None)]
    engine.run()
    assert events(engine, 4) == [], "nothing new is no event"
    # the person of the user as of each run
    log = engine.con.execute(
        "select h.run_no, h.person_id from identity_history as h inner join identifier using (identifier_key)"
        " where identifier_type = 'user_id' order by run_no"
    ).fetchall()
    assert log == [(1, old[user]), (2, then[user]), (3, old[user])]
    engine.run(full_refresh=True)
    assert engine.con.execute("select max(run_no) from identity_history").fetchall() == [(3,)], (
        "a refresh keeps the log"
    )


def test_refusals_and_overrides_are_logged_and_taken_back() -> None:
    rows = [
        Seen("r1", 1, "user_id", "a"),
        Seen("r1", 1, "email", "m"),
        Seen("r2", 2, "user_id", "b"),
        Seen("r2", 2, "email", "m"),
    ]
    engine = engine_with(rows)
    engine.run()
    assert [e[0:1] + e[3:] for e in events(engine, 1)] == [("refused", "limit:user_id", "r2")]
    graphs.set_overrides(engine, [Override("merge", ("user_id", "a"), ("user_id", "b"), date(2026, 1, 1))])
    engine.run()
    assert engine.con.execute("select count(distinct person_id) from identity_person").fetchall() == [(1,)]
    assert [(e[0], e[3]) for e in events(engine, 2)] == [("merged", "override")]
    graphs.set_overrides(engine, [])
    engine.run()
    assert engine.con.execute("select count(distinct person_id) from identity_person").fetchall() == [(2,)]


def test_two_values_under_one_key_stop_the_run() -> None:
    engine = engine_with([Seen("r1", 1, "user_id", "a"), Seen("r2", 2, "user_id", "a")])
    engine.con.execute("update identifier_observation set identifier_value = 'other' where record_id = 'r2'")
    with pytest.raises(duckdb.Error, match="two identifiers have the same 63-bit key"):
        engine.run()


def test_a_giant_component_is_quarantined_and_nobody_else() -> None:
    """A value that is typed in by everybody ties a hundred and more; families of five stay free."""
    rows = [
        Seen(f"r{n}", n, t, v) for n in range(300) for t, v in (("email", f"m{n}"), ("anonymous_id", f"family{n // 5}"))
    ]
    engine = engine_with(rows)
    engine.run()
    engine.build("identity_quarantine")
    assert engine.con.execute("select count(*) from identity_quarantine").fetchall() == [(0,)]
    placeholder = [
        Seen(f"r{n}", n, t, v) for n in range(1000, 1150) for t, v in (("email", f"x{n}"), ("anonymous_id", "kiosk"))
    ]
    graphs.observe(engine, placeholder)
    engine.run()
    engine.build("identity_quarantine")
    persons = answer([*rows, *placeholder], TYPES, [], set()).persons
    found = engine.con.execute("select person_id, component_size from identity_quarantine").fetchall()
    assert found == [(persons["anonymous_id", "kiosk"], 151)]


def test_every_model_that_leaves_the_warehouse_heeds_the_quarantine() -> None:
    models = sorted((PROJECT_ROOT / "dbt_project" / "models" / "activation").rglob("snd_*.sql"))
    assert len(models) >= 3
    heedless = [Path(m).stem for m in models if "ref('identity_quarantine')" not in m.read_text(encoding="utf-8")]
    assert heedless == [], "leave out who is in ref('identity_quarantine'), or read persons from a snd_ model"


def test_many_records_that_share_one_value() -> None:
    """They are one person without a rule, and nobody's tie with one; either way the run ends, and so does the next one."""
    count = 50_000
    engine = Engine()
    graphs.prepare(engine, {**TYPES, "email": Type(2, tier=2, shared_above=5)})
    for kind, name in (("user_id", "'u' || i"), ("email", "'everybody'")):
        engine.con.execute(
            f"""
            insert into identifier_observation
            select 'one', 'test', 'r' || i, i, i, null, '{kind}', {name}, (md5_number('{kind}:' || {name}) >> 65)::bigint, null
            from range({count}) as t(i)
            """
        )
    engine.run()
    assert engine.con.execute("select count(distinct person_id) from identity_person").fetchall() == [(count + 1,)]
    graphs.set_types(engine, {**TYPES, "user_id": Type(1, most=1), "email": Type(2, tier=2)})
    engine.run()
    assert engine.con.execute("select count(distinct person_id) from identity_person").fetchall() == [(count,)]
    assert engine.con.execute("select count(*), min(rule) from identity_refusal").fetchall() == [
        (count - 1, "limit:user_id")
    ]
