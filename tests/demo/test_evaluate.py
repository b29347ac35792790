"""Pairwise scores against a count of all pairs one by one, on random groupings."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

import duckdb
import pytest

from cdp.errors import ConfigurationError
from demo.world.evaluate import Score, evaluate

Record = tuple[str, int, str | None]
"""Record id, true person, predicted person."""


def write_truth(folder: Path, records: list[Record], kinds: dict[int, str], mess: dict[int, list[str]]) -> None:
    """A truth folder with these records and persons."""
    connection = duckdb.connect()
    connection.execute("create table r (source text, table_name text, record_key text, person_no integer)")
    connection.executemany(
        "insert into r values ('s', 't', ?, ?)",
        [(record_id.removeprefix("s.t:"), person) for record_id, person, _ in records],
    )
    connection.execute("create table p (person_no integer, kind text, mess_kinds text[])")
    connection.executemany(
        "insert into p values (?, ?, ?)", [(no, kind, mess.get(no, [])) for no, kind in kinds.items()]
    )
    connection.execute(f"copy r to '{folder / 'record_person.parquet'}' (format parquet)")
    connection.execute(f"copy p to '{folder / 'persons.parquet'}' (format parquet)")


def predicted(rows: list[tuple[str, str | None]]) -> duckdb.DuckDBPyConnection:
    """A warehouse with the table to evaluate."""
    connection = duckdb.connect()
    connection.execute("create schema identity")
    connection.execute("create table identity.record_person (record_id text, person_id text)")
    if rows:
        connection.executemany("insert into identity.record_person values (?, ?)", rows)
    return connection


def by_hand(records: list[Record], touched: set[int] | None = None) -> tuple[int, int, int]:
    """True, predicted and correct pairs, one by one; with `touched` only pairs that one of these persons is in."""
    true = guessed = correct = 0
    for (_, one, a), (_, two, b) in combinations(records, 2):
        if touched is not None and not {one, two} & touched:
            continue
        same, together = one == two, a is not None and a == b
        true, guessed, correct = true + same, guessed + together, correct + (same and together)
    return true, guessed, correct


@pytest.mark.parametrize("seed", range(12))
def test_pairs_are_counted_as_by_hand(tmp_path: Path, seed: int) -> None:
    print(f"seed={seed}")
    chance = random.Random(seed)
    kinds = {no: chance.choice(["consumer", "business", "bot"]) for no in range(1, 9)}
    mess = {no: chance.sample(["late", "typo", "shared"], chance.randrange(4)) for no in kinds}
    records: list[Record] = [
        (f"s.t:{i}", chance.randrange(1, 9), chance.choice([None, *"abcdef"])) for i in range(chance.randrange(2, 60))
    ]
    write_truth(tmp_path, records, kinds, mess)
    rows = [(record_id, person) for record_id, _, person in records if person is not None or chance.random() < 0.5]
    found = evaluate(predicted([*rows, ("s.accounts:1", "a")]), "identity.record_person", tmp_path)

    human = [record for record in records if kinds[record[1]] != "bot"]
    assert found.overall == Score(len(human), *by_hand(human))
    assert found.missing == sum(person is None for _, _, person in human)
    assert found.unknown == 1
    for kind, score in found.per_mess.items():
        touched = {no for no, names in mess.items() if kind in names and kinds[no] != "bot"}
        assert (score.true_pairs, score.predicted_pairs, score.correct_pairs) == by_hand(human, touched)


def test_ratios_follow_from_the_counts() -> None:
    score = Score(records=10, true_pairs=20, predicted_pairs=10, correct_pairs=5)
    assert (score.precision, score.recall, score.f1) == (0.5, 0.25, 2 * 5 / 30)
    assert Score(1, 0, 0, 0).precision is None
    assert Score(1, 0, 0, 0).f1 is None


def test_the_truth_against_itself_is_perfect(world: Path) -> None:
    connection = predicted([])
    connection.execute(
        "insert into identity.record_person select source || '.' || table_name || ':' || record_key, person_no::text"
        f" from read_parquet('{world}/truth/record_person.parquet')"
    )
    found = evaluate(connection, "identity.record_person", world / "truth")
    assert (found.overall.precision, found.overall.recall, found.missing, found.unknown) == (1.0, 1.0, 0, 0)
    assert {"shared_device", "email_case", "recycled_phone", "repeated_event"} <= found.per_mess.keys()
    assert found.as_dict()["overall"]["f1"] == 1.0
    left = connection.execute("select count(*) from duckdb_tables() where table_name like 'evaluated_%'").fetchone()
    assert left == (0,)


def test_a_record_with_two_persons_is_refused(tmp_path: Path) -> None:
    write_truth(tmp_path, [("s.t:1", 1, "a")], {1: "consumer"}, {})
    with pytest.raises(ConfigurationError, match="1 records have more than one person"):
        evaluate(predicted([("s.t:1", "a"), ("s.t:1", "b")]), "identity.record_person", tmp_path)


def test_a_missing_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"record_person\.parquet"):
        evaluate(predicted([]), "identity.record_person", tmp_path)


def test_the_name_of_the_table_is_a_name(tmp_path: Path) -> None:
    write_truth(tmp_path, [("s.t:1", 1, "a")], {1: "consumer"}, {})
    connection = predicted([("s.t:1", "a")])
    with pytest.raises(ConfigurationError, match="a table with the columns record_id and person_id"):
        evaluate(connection, "identity.record_person; drop table identity.record_person", tmp_path)
    assert connection.execute("select count(*) from identity.record_person").fetchone() == (1,)
