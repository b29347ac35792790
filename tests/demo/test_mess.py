"""The dirt is there in the stated amount, counted from the files themselves, and buyers stand out from the others."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from statistics import mean

from demo.world import WorldSummary
from tests.demo import reading


def _days_late(event: dict[str, object]) -> float:
    received, happened = (datetime.fromisoformat(str(event[k])) for k in ("receivedAt", "timestamp"))
    return (received - happened).total_seconds() / 86_400


def test_events_are_repeated_late_and_torn_as_often_as_stated(world: Path) -> None:
    found = reading.read(world, "website/events")
    total = len(found.rows) + found.unreadable
    ids = Counter(event["messageId"] for event in found.rows)
    assert 0.006 < (len(found.rows) - len(ids)) / total < 0.014
    assert 0.008 < sum(_days_late(e) > 0.7 for e in found.rows) / total < 0.020
    assert 0.0001 < found.unreadable / total < 0.0015

    copies = defaultdict(list)
    for event in found.rows:
        if ids[event["messageId"]] > 1:
            copies[event["messageId"]].append(json.dumps(event, sort_keys=True))
    identical = sum(len(set(texts)) == 1 for texts in copies.values())
    assert 0 < identical < len(copies), "some copies are identical, some were sent again"


def test_files_hold_what_arrived_on_their_day_in_the_order_of_arrival(world: Path) -> None:
    for file in ("website/events", "app/events"):
        for path in reading.paths(world, file):
            arrivals = re.findall(r'"receivedAt":"([^"]+)"', path.read_text(encoding="utf-8"))
            assert arrivals == sorted(arrivals)
            assert {text[:10] for text in arrivals} <= {path.stem[-10:]}


def test_contacts_are_written_in_many_ways(world: Path) -> None:
    customers = reading.read_shop(world, "customers")
    phones = [row["phone"] for row in customers if row["phone"] and row["country"] == "CN"]
    share = {
        "national": mean(bool(re.fullmatch(r"1\d{10}", p)) for p in phones),
        "e164": mean(bool(re.fullmatch(r"\+861\d{10}", p)) for p in phones),
        "0086": mean(p.startswith("0086-") for p in phones),
        "full width": mean(bool(re.search("[０-９]", p)) for p in phones),
    }
    assert 0.27 < share["national"] < 0.43
    assert 0.35 < share["e164"] < 0.60
    assert 0.02 < share["0086"] < 0.11
    assert 0.002 < share["full width"] < 0.04
    emails = [row["email"] for row in customers if row["email"]]
    assert 0.01 < mean(e != e.strip().lower() for e in emails) < 0.09
    assert any("+lumen@" in e for e in emails)
    assert {row["phone"] for row in customers} >= {None, ""}


def test_nobody_can_be_reached(world: Path) -> None:
    reserved = re.compile(r"@(example\.(com|org|net|con|ogr|ent)|[a-z0-9.-]+\.(example|exmaple))$")
    for row in reading.truth(world, "identifier_person"):
        if row["identifier_type"] == "email":
            local, _, domain = row["identifier_value"].partition("@")
            assert reserved.search(row["identifier_value"]) or (
                domain in ("gmail.com", "gmail.con") and len(local) > 30
            )
        if row["identifier_type"] == "phone":
            assert re.match(
                r"\+(861740[0-5]|1\d{3}55501|447700900|3363998|4917139200|49176040690)", row["identifier_value"]
            )


def test_shared_recycled_and_rotated_identifiers_exist(world: Path) -> None:
    rows = reading.truth(world, "identifier_person")
    owners: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in rows:
        owners[row["identifier_type"], row["identifier_value"]].add(row["person_no"])
    shared = Counter(kind for (kind, _), persons in owners.items() if len(persons) > 1)
    assert set(shared) == {"anonymous_id", "email", "phone"}
    phones = {row["identifier_value"]: [] for row in rows if row["mess_kind"] == "recycled_phone"}
    for row in rows:
        if row["identifier_value"] in phones:
            phones[row["identifier_value"]].append(row)
    complete = [sorted(both, key=lambda r: r["valid_from"]) for both in phones.values() if len(both) == 2]
    assert complete
    assert all(first["valid_to"] <= second["valid_from"] for first, second in complete)
    cookies = Counter(row["person_no"] for row in rows if row["mess_kind"] == "rotated_cookie")
    assert max(cookies.values()) >= 2


def test_two_people_sign_in_on_one_cookie(world: Path) -> None:
    users = defaultdict(set)
    for event in reading.read(world, "website/events").rows:
        if event.get("userId") and event.get("anonymousId"):
            users[event["anonymousId"]].add(event["userId"])
    assert any(len(found) == 2 for found in users.values())


def test_odd_files_are_as_documented(world: Path, world_summary: tuple[Path, WorldSummary]) -> None:
    receipts = reading.paths(world, "pos/receipts")
    assert all(path.read_bytes().startswith(b"\xef\xbb\xbfreceipt_no;line_no;") for path in receipts)
    assert any(re.search(rb";\d+,\d\d;", path.read_bytes()) for path in receipts)
    headers = [path.read_text(encoding="utf-8").splitlines()[0] for path in reading.paths(world, "forms/registrations")]
    middle = world_summary[1].arguments.horizon // 2
    assert {h.endswith(",job_title") for h in headers[:middle]} == {False}
    assert {h.endswith(",job_title") for h in headers[middle:]} == {True}
    accounts = {row["id"]: row["parent_account_id"] for row in reading.read(world, "crm/accounts").rows}
    assert any(parent and accounts[parent] == child for child, parent in accounts.items())


def test_counts_of_the_summary_are_those_of_the_truth(world_summary: tuple[Path, WorldSummary]) -> None:
    world, summary = world_summary
    counted = Counter()
    for row in reading.truth(world, "person_mess"):
        counted[row["mess_kind"]] += row["occurrences"]
    assert {
        kind: n for kind, n in summary.mess.items() if kind not in ("account_cycle", "bot", "test_account")
    } == dict(counted)
    assert len(summary.mess) >= 25


def test_buyers_and_winners_behave_differently(world: Path) -> None:
    """A score needs something to learn: price lists and products are looked at more by those who will buy or sign."""
    persons = {row["person_no"]: row for row in reading.truth(world, "persons")}
    person_of = {
        r["record_key"]: r["person_no"]
        for r in reading.truth(world, "record_person")
        if r["table_name"] in ("events", "registrations")
    }
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    for event in reading.read(world, "website/events").rows:
        name = event.get("event") or event.get("name")
        if name in ("Pricing", "Product Viewed", "Product Added"):
            seen[name][person_of[event["messageId"]]] += 1
    for row in reading.read(world, "forms/registrations").rows:
        if row["form_id"].startswith("fair-"):
            seen["fair"][person_of[row["registration_id"]]] += 1

    def ratio(name: str, kind: str) -> float:
        groups = [
            [seen[name][no] for no, p in persons.items() if p["kind"] == kind and p["will_convert"] is will]
            for will in (True, False)
        ]
        return mean(groups[0]) / mean(groups[1])

    assert ratio("Pricing", "business") > 2.5
    assert ratio("fair", "business") > 1.5
    assert ratio("Product Viewed", "consumer") > 2
    assert ratio("Product Added", "consumer") > 3
