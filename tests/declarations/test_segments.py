"""Random segments computed in one pass equal a walk through persons in Python: lists, groups, limits, holdouts, splits, accounts."""

from __future__ import annotations

import os
import random
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.declarations.scratch import build, compiled, warehouse, write, write_contracts

SEEDS = range(int(os.environ.get("CDP_TEST_SEGMENTS", "4")))
CITIES = ["Berlin", "Paris", "上海", None]
CONDITIONS = {
    "city = 'Berlin'": lambda p: p["city"] == "Berlin",
    "city <> 'Berlin'": lambda p: p["city"] is not None and p["city"] != "Berlin",
    "identifier_count > 2": lambda p: p["identifier_count"] > 2,
    "city is null or can_email": lambda p: p["city"] is None or p["can_email"],
    "in_list('vip')": lambda p: p["vip"],
    "true": lambda p: True,
}


def drawn(person_id: str, purpose: str, key: str) -> int:
    """The number from 0 to 9999 that decides holdouts and arms: the last 8 bytes of MD5, read from their least one."""
    digest = md5(f"{person_id}:{purpose}:{key}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little") % 10_000


def members(segment: dict[str, Any], persons: list[dict[str, Any]], earlier: list[set[str]]) -> dict[str, set[str]]:
    """Fitting persons (`fits`), members (`in`) and parts of a segment. `earlier`: who fits the group's segments before it."""
    chosen = []
    accounts = segment.get("accounts") or {}
    for person in persons:
        holds = CONDITIONS[segment["where"]](person)
        for kind, condition in accounts.items():
            mates = [p for p in persons if p["account_key"] == person["account_key"]]
            hits = [bool(CONDITIONS[condition](p)) for p in mates]
            matched = {"any": any(hits), "all": all(hits), "none": not any(hits)}[kind]
            holds = holds and person["account_key"] is not None and matched
        holds = holds or ("include" in segment and CONDITIONS[segment["include"]](person))
        holds = holds and not ("exclude" in segment and CONDITIONS[segment["exclude"]](person))
        if holds and not any(person["person_id"] in fits for fits in earlier):
            chosen.append(person)
    fits = {p["person_id"] for p in chosen}
    if "limit" in segment:
        chosen.sort(key=lambda p: (-p["identifier_count"], p["person_id"]))
        chosen = chosen[: segment["limit"]["most"]]
    ids = {p["person_id"] for p in chosen}
    found = {"fits": fits}
    if "holdout" in segment:
        key = segment["holdout"].get("key", segment["name"])
        found["holdout"] = {i for i in ids if drawn(i, "holdout", key) < segment["holdout"]["percent"] * 100}
        ids = ids - found["holdout"]
    found["in"] = ids
    low = 0
    for arm in segment.get("split", []):
        high = low + arm["percent"] * 100
        found[arm["arm"]] = {i for i in ids if low <= drawn(i, "split", segment["name"]) < high}
        low = high
    return found


def declared(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Random segments."""
    segments = []
    for n in range(count):
        segment: dict[str, Any] = {"name": f"s{n:02}", "where": rng.choice(list(CONDITIONS))}
        for key in ("include", "exclude"):
            if rng.random() < 0.4:
                segment[key] = rng.choice(list(CONDITIONS))
        if rng.random() < 0.3:
            segment["accounts"] = {rng.choice(["any", "all", "none"]): rng.choice(list(CONDITIONS))}
        if rng.random() < 0.5:
            segment |= {"group": rng.choice(["g", "h"]), "priority": n + 1}
        if rng.random() < 0.4:
            segment["limit"] = {"most": rng.choice([1, 7, 30]), "order_by": "identifier_count"}
        if rng.random() < 0.4:
            segment["holdout"] = {"percent": rng.choice([10, 25.5]), **({"key": "all"} if rng.random() < 0.5 else {})}
        if rng.random() < 0.4:
            segment["split"] = [{"arm": "x", "percent": 30}, {"arm": "y", "percent": 70}]
        segments.append(segment)
    return segments


@pytest.mark.parametrize("seed", SEEDS)
def test_one_pass_equals_a_walk_through_persons(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    persons: list[dict[str, Any]] = [
        {
            "person_id": f"p{n:03}", "city": rng.choice(CITIES), "identifier_count": rng.randrange(6),
            "can_email": rng.random() < 0.5, "vip": rng.random() < 0.2, "account_key": rng.choice(["x", "y", "z", None, None]),
        }
        for n in range(120)
    ]  # fmt: skip
    db = warehouse()
    for person in persons:
        columns = {k: v for k, v in person.items() if k != "vip"}
        listed = ", ".join(columns)
        db.execute(f"insert into person ({listed}) values ({', '.join('?' * len(columns))})", list(columns.values()))
    db.execute("create table person_list (list varchar, person_id varchar)")
    for person in persons:
        if person["vip"]:
            db.execute("insert into person_list values ('vip', ?), ('vip', ?)", [person["person_id"]] * 2)
    write_contracts(tmp_path)
    write(tmp_path, "seeds/segments/person_lists.csv", "list,identifier_type\nvip,email\n")
    segments = declared(rng, 14)
    for segment in segments:
        write(
            tmp_path, f"segments/{segment['name']}.yml", yaml.safe_dump({"owner": "o", "description": "d", **segment})
        )
    build(db, compiled(tmp_path))
    found: dict[str, set[str]] = {}
    for name, person_id in db.execute("select segment, person_id from int_segments__members").fetchall():
        assert person_id not in found.setdefault(name, set()), "a member once"
        found[name].add(person_id)
    fits: dict[str, list[set[str]]] = {}
    for segment in segments:
        expected = members(segment, persons, fits.get(segment.get("group", ""), []))
        if "group" in segment:
            fits.setdefault(segment["group"], []).append(expected["fits"])
        assert found.get(segment["name"], set()) == expected["in"], (seed, segment)
        for part in ("holdout", "x", "y"):
            if part in expected:
                assert found.get(f"{segment['name']}__{part}", set()) == expected[part], (seed, segment, part)


def test_shares_of_holdouts_and_arms(tmp_path: Path) -> None:
    """Over many persons shares are as declared, holdouts with one key are the same persons, arms share nobody."""
    db = warehouse()
    db.execute("insert into person (person_id, city) select 'p_' || md5(i::varchar), 'x' from range(20000) t(i)")
    write_contracts(tmp_path)
    split = "where: true\nholdout: {percent: 10, key: all}\nsplit: [{arm: a, percent: 25}, {arm: b, percent: 75}]\n"
    write(tmp_path, "segments/one.yml", split)
    write(tmp_path, "segments/two.yml", "where: true\nholdout: {percent: 10, key: all}\n")
    write(tmp_path, "segments/three.yml", "where: in_segment('one__a')\n")
    build(db, compiled(tmp_path))
    sizes = dict(db.execute("select segment, count(*) from int_segments__members group by 1").fetchall())
    assert sizes["one"] + sizes["one__holdout"] == 20000
    assert sizes["one__a"] + sizes["one__b"] == sizes["one"]
    assert 0.09 < sizes["one__holdout"] / 20000 < 0.11
    assert 0.235 < sizes["one__a"] / sizes["one"] < 0.265
    assert sizes["three"] == sizes["one__a"]
    held = "select person_id from int_segments__members where segment = '{}__holdout'"
    assert db.execute(f"{held.format('one')} except {held.format('two')}").fetchall() == []
