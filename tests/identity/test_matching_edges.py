"""Pairs of a matching model as edges of the weakest tier: they tie what nothing forbids, and go as they came."""

from __future__ import annotations

from tests.identity.engine import Engine
from tests.identity.models import Records, prepared

PEOPLE: Records = {
    "lead": {"crm_lead_id": "lead_1", "email": "anna@example.com"},
    "bought_list": {"crm_lead_id": "lead_2", "email": "anna@example.con"},
    "account": {"user_id": "u_anna", "phone": "+4915112345678"},
    "other_account": {"user_id": "u_berta", "phone": "+4915187654321"},
    "desk_1": {"user_id": "u_1", "email": "desk@example.com"},
    "desk_2": {"user_id": "u_2", "email": "desk@example.com"},
}
TABLES = ("identity_edge", "person_identifier", "record_person", "identity_component", "identity_refusal")
Pair = tuple[tuple[str, str], tuple[str, str], float]
LEADS: Pair = (("crm_lead_id", "lead_1"), ("crm_lead_id", "lead_2"), 9.4)
TO_ANNA: Pair = (("crm_lead_id", "lead_2"), ("user_id", "u_anna"), 12.0)
TO_BERTA: Pair = (("crm_lead_id", "lead_1"), ("user_id", "u_berta"), 11.0)


def match(engine: Engine, *pairs: Pair) -> None:
    """The accepted pairs of this run."""
    engine.con.execute("delete from identity_match")
    key = engine.render("{{ hash_key(\"type || ':' || value\") }}")
    for left, right, weight in pairs:
        keys = [
            engine.con.execute(f"select {key} from (select ? as type, ? as value)", list(name)).fetchall()[0][0]
            for name in (left, right)
        ]
        engine.con.execute("insert into identity_match values (?, ?, 'person', ?)", [min(keys), max(keys), weight])


def persons(engine: Engine) -> set[frozenset[str]]:
    rows = engine.con.execute("select list(record_id) from record_person group by person_id").fetchall()
    return {frozenset(records) for (records,) in rows}


def state(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    return {name: engine.con.execute(f"select * from {name} order by all").fetchall() for name in TABLES}


def matched(*pairs: Pair, overrides: list[dict[str, str]] | None = None) -> Engine:
    engine = prepared(PEOPLE, overrides)
    match(engine, *pairs)
    engine.run()
    return engine


def test_a_pair_makes_one_person_and_its_absence_two() -> None:
    engine = matched(LEADS)
    assert frozenset({"lead", "bought_list"}) in persons(engine)
    assert engine.con.execute("select tier, count(*) from identity_edge where tier = 99 group by 1").fetchall() == [
        (99, 1)
    ]
    with_pair = state(engine)
    match(engine)
    engine.run()
    assert {frozenset({"lead"}), frozenset({"bought_list"})} <= persons(engine)
    assert state(engine) == state(matched())
    match(engine, LEADS)
    engine.run()
    assert state(engine) == with_pair, "a pair that comes in a later run ends where a rebuild ends"


def test_limits_refuse_the_weaker_of_two_pairs() -> None:
    """Both accounts match the leads; one person has one user_id. The pair of the higher weight is taken."""
    engine = matched(LEADS, TO_ANNA, TO_BERTA)
    assert frozenset({"account", "bought_list"}) in {
        p & {"account", "bought_list", "other_account"} for p in persons(engine)
    }
    assert not any({"account", "other_account"} <= p for p in persons(engine))
    refused = engine.con.execute("select tier from identity_refusal").fetchall()
    assert refused == [(99,)]
    later = matched(LEADS)
    match(later, LEADS, TO_ANNA, TO_BERTA)
    later.run()
    assert state(later) == state(engine)


def test_never_merge_beats_a_pair_and_what_is_shared_is_not_matched() -> None:
    never = {
        "action": "never",
        "left_type": "crm_lead_id",
        "left_value": "lead_1",
        "right_type": "crm_lead_id",
        "right_value": "lead_2",
    }
    desk: Pair = (("email", "desk@example.com"), ("user_id", "u_1"), 20.0)
    engine = matched(LEADS, desk, overrides=[never])
    assert persons(engine) == persons(matched())


def test_a_weight_that_moves_within_its_bit_reopens_nobody() -> None:
    engine = matched(LEADS)
    match(engine, (*LEADS[:2], 9.9))
    engine.build("int_identity__type_numbered")
    engine.build("int_identity__override_keyed")
    engine.build("identity_reopened")
    assert engine.con.execute("select count(*) from identity_reopened").fetchall() == [(0,)]
    match(engine, (*LEADS[:2], 10.1))
    engine.build("identity_reopened")
    assert engine.con.execute("select count(*) > 0 from identity_reopened").fetchall() == [(True,)]
