"""`cdp identity resolve` on files: against the definition, in one call or many, and on what is wrong."""

from __future__ import annotations

import csv
import json
import os
import random
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cdp.errors import DeclarationError
from cdp.identity.resolve import resolve as resolve_file
from cdp.identity.rules import load_rules
from cdp.settings import PROJECT_ROOT, Settings
from dbt_declarations.sources import pattern_macros
from tests.commands import cdp
from tests.identity import graphs
from tests.identity.oracle import Override, Seen, Type, answer

SEEDS = PROJECT_ROOT / "dbt_project" / "seeds" / "identity"
FILES = ("person_identifier", "record_person", "refusals")
TYPES = {
    "user_id": Type(1, 1, 1),
    "email": Type(2, 2, 2, None, 2),
    "phone": Type(3, 2, 1, "month"),
    "anonymous_id": Type(4, 3),
}


def write(path: Path, rows: list[Any], columns: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def write_rules(folder: Path) -> Path:
    folder.mkdir()
    columns = ["name", "priority", "tier", "max_per_person", "max_period", "shared_above"]
    write(folder / "identifier_types.csv", [(n, t.priority, t.tier, t.most, t.period, t.shared_above) for n, t in TYPES.items()], columns)  # fmt: skip
    write(folder / "blocked_identifiers.csv", [("*", "^nobody$", "a placeholder")], ["identifier_type", "pattern", "reason"])  # fmt: skip
    columns = ["action", "left_type", "left_value", "right_type", "right_value", "decided_on"]
    write(folder / "identity_overrides.csv", [("never", "email", "v1", "email", "v2", "2026-01-01")], columns)
    return folder


def write_rows(path: Path, rows: list[Seen]) -> Path:
    listed = [(r.record, r.sequence, r.type, r.value, r.tier, r.seen_on) for r in rows]
    return write(path, listed, ["record_id", "sequence", "identifier_type", "identifier_value", "tier", "observed_at"])


def resolve(observations: Path, out: Path, *arguments: str) -> dict[str, Any]:
    given = ("identity", "resolve", str(observations), "--out", str(out), "--json", *arguments)
    done = cdp(*given, folder=PROJECT_ROOT, environment=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def test_one_file_and_many_in_any_order_give_the_definition_in_the_same_bytes(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    rows = graphs.random_rows(rng, TYPES, 150)
    rules = write_rules(tmp_path / "rules")
    overrides = [Override("never", ("email", "v1"), ("email", "v2"), date(2026, 1, 1))]
    expected = answer(rows, TYPES, overrides, {r.name for r in rows if r.value == "nobody"})
    resolve(write_rows(tmp_path / "all.csv", rows), tmp_path / "once", "--rules", str(rules))
    with duckdb.connect() as con:
        query = f"select * from '{tmp_path / 'once'}/{{}}.parquet'"
        assert {(t, v): p for t, v, p in con.execute(query.format("person_identifier")).fetchall()} == expected.persons
        assert dict(con.execute(query.format("record_person")).fetchall()) == expected.records
        refused = con.execute(query.format("refusals")).fetchall()
        assert {((a, b), (c, d)) for a, b, c, d, *_ in refused} == expected.refused
        assert all(record for *_, record in refused)
    shuffled = rng.sample(rows, len(rows))
    for number in range(2):
        batch = shuffled[number::2] + rng.sample(rows, 5)  # some of them twice
        more = ("--rules", str(rules), "--state", os.path.relpath(tmp_path / "state", PROJECT_ROOT))
        resolve(write_rows(tmp_path / f"batch{number}.csv", batch), tmp_path / "often", *more)
    for name in FILES:
        one, other = (tmp_path / folder / f"{name}.parquet" for folder in ("once", "often"))
        assert one.read_bytes() == other.read_bytes(), name


def test_wrong_rows_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    wrong = {
        "no record_id": ("", 1, "user_id", "u", ""),
        "sequence is no whole number from 0 to 2^62": ("a", "1.5", "user_id", "u", ""),
        "unknown identifier type": ("b", 2, "fax", "u", ""),
        "no value": ("c", 3, "user_id", "  ", ""),
        "longer than 1000 characters": ("d", 4, "user_id", "u" * 100_000, ""),
        "not text: control characters": ("e", 5, "user_id", "u\x01", ""),
        "tier is no whole number from 1 to 99": ("f", 6, "user_id", "u", "0"),
        "does not fit the pattern of its type": ("g", 7, "email", "nobody at home", ""),
    }
    good = [("h", 8, "user_id", "ünïcödé 用户 👩‍👩‍👧", ""), ("h", 8, "email", " Mia@Example.com", "1"), ("i", 9, "email", "mia@example.com", "")]  # fmt: skip
    path = write(tmp_path / "o.csv", [*wrong.values(), *good], ["record_id", "sequence", "identifier_type", "identifier_value", "tier"])  # fmt: skip
    found = resolve(path, tmp_path / "out")
    assert found["rejected"] == dict.fromkeys(wrong, 1)
    assert (found["identifiers"], found["persons"], found["records"]) == (2, 1, 2)
    rejected = duckdb.sql(f"select reason, length(identifier_value) from '{tmp_path}/out/rejected.parquet'").fetchall()
    assert {reason for reason, _ in rejected} == wrong.keys()
    assert max(length or 0 for _, length in rejected) <= 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,priority\nuser_id,1\nuser_id,2\n", "name user_id stands twice"),
        ("name,priority,max_per_person\nuser_id,1,0\n", "line 2, max_per_person"),
        ("name,priority,max_period\nuser_id,1,fortnight\n", "line 2, max_period"),
        ("name,priority,colour\nuser_id,1,red\n", "line 2, colour"),
        ("name,priority,pattern\nuser_id,1,(\n", "is no regular expression"),
    ],
)
def test_wrong_rules_are_told_with_file_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "identifier_types.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError) as raised:
        load_rules(tmp_path, SEEDS)
    assert message in raised.value.render()
    assert "identifier_types.csv" in raised.value.render()


def test_the_rules_of_the_project_can_be_loaded() -> None:
    assert len(load_rules(None, SEEDS).types) >= 10


@pytest.mark.parametrize(
    ("begun", "message"), [({"hash": "1"}, "another version"), ({"digest": "1"}, "other identifier types")]
)
def test_a_state_that_was_begun_otherwise_is_refused(tmp_path: Path, begun: dict[str, str], message: str) -> None:
    """By another hash of records, or other rules: its rows would not fit those to come."""
    rows, settings = write_rows(tmp_path / "all.csv", [Seen("r1", 1, "email", "a@x.example")]), Settings(_env_file=None)
    (state := tmp_path / "state").mkdir()
    with duckdb.connect() as con:  # by this a state knows that its record keys fit
        ((records,),) = con.execute("select hash('record 用户 1')::varchar").fetchall()
    now = {"digest": load_rules(None, SEEDS).digest, "hash": records}
    (state / "rules.json").write_text(json.dumps(now | begun), encoding="utf-8")
    with pytest.raises(DeclarationError, match=message) as raised:
        resolve_file(rows, None, tmp_path / "out", state, settings, pattern_macros)
    assert "give another --state folder" in raised.value.render()
    assert not (tmp_path / "out").exists()
