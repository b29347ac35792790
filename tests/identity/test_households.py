"""Households on a handful of records, through identity's own models: they gather persons and never merge them."""

from __future__ import annotations

import csv
import random

import duckdb

from cdp.settings import PROJECT_ROOT
from tests.identity.models import Records, prepared, resolved

DBT = PROJECT_ROOT / "dbt_project"

# A couple with one mailbox, whose daughter signs in on her mother's browser; a phone that went from Vogel to Brandt; an office
# of eight with one mailbox; two who share nothing.
PEOPLE: Records = {
    "she": {"user_id": "u_she", "email": "family@example.com"},
    "he": {"user_id": "u_he", "email": "family@example.com"},
    "browser_she": {"user_id": "u_she", "anonymous_id": "cookie-1"},
    "browser_daughter": {"user_id": "u_daughter", "anonymous_id": "cookie-1"},
    "before": {"user_id": "u_vogel", "phone": "+4915112345678"},
    "after": {"user_id": "u_brandt", "phone": "+4915112345678"},
    **{f"office_{n}": {"user_id": f"u_office_{n}", "email": "front.desk@example.com"} for n in range(8)},
    "one": {"user_id": "u_one", "email": "one@example.com"},
    "two": {"user_id": "u_two", "email": "two@example.com"},
}
NAMES = {"before": "Vogel", "after": "Brandt"}


def lived_in(people: Records) -> tuple[duckdb.DuckDBPyConnection, set[frozenset[str]]]:
    """The households of these records, each as the records of its persons."""
    engine = prepared(people)
    engine.run()
    con = engine.con
    with (DBT / "seeds" / "accounts" / "household_rules.csv").open(encoding="utf-8", newline="") as file:
        assert {row["rule"] for row in csv.DictReader(file)} >= {"shared_email", "shared_cookie", "shared_phone"}
    con.execute(f"create table household_rules as from read_csv('{DBT / 'seeds/accounts/household_rules.csv'}')")
    con.execute(
        "create table contact_attribute (sequence bigint, observed_at timestamp, attribute varchar, attribute_value varchar)"
    )
    con.executemany(
        "insert into contact_attribute select sequence, null, 'last_name', ? from record_person where record_id = ?",
        [(name, record) for record, name in NAMES.items()],
    )
    for name in ("identity/household_tie", "profiles/household_member"):
        text = (DBT / "models" / f"{name}.sql").read_text(encoding="utf-8")
        con.execute(f"create table {name.split('/')[1]} as {engine.render(text)}")
    rows = con.execute(
        "select household_id, list(distinct record_id) from household_member inner join record_person using (person_id) group by 1"
    ).fetchall()
    return con, {frozenset(records) for _, records in rows}


def test_people_who_share_live_together_and_stay_persons() -> None:
    with resolved(PEOPLE) as alone:
        before = alone.execute("select * from person_identifier order by all").fetchall()
    con, households = lived_in(PEOPLE)
    assert households == {frozenset({"she", "he", "browser_she", "browser_daughter"})}
    assert con.execute("select * from person_identifier order by all").fetchall() == before
    assert con.execute(
        "select person_count, count(distinct person_id) from household_member group by 1"
    ).fetchall() == [(3, 3)]
    founder = con.execute("select 'h_' || md5(person_id) from record_person where record_id = 'she'").fetchall()
    assert con.execute("select distinct household_id from household_member").fetchall() == founder
    rules = con.execute(
        "select record_id, rules from household_member inner join record_person using (person_id) where record_id in ('she', 'he') order by 1"
    ).fetchall()
    assert rules == [("he", "shared_email"), ("she", "shared_cookie, shared_email")]


def test_one_name_makes_a_number_a_households() -> None:
    NAMES["after"] = "Vogel"
    try:
        _, households = lived_in(PEOPLE)
    finally:
        NAMES["after"] = "Brandt"
    assert frozenset({"before", "after"}) in households


def test_order_of_arrival_decides_nothing_but_the_name() -> None:
    for seed in range(3):
        print(f"seed {seed}")
        shuffled = list(PEOPLE.items())
        random.Random(seed).shuffle(shuffled)
        _, households = lived_in(dict(shuffled))
        assert households == {frozenset({"she", "he", "browser_she", "browser_daughter"})}
