# ruff: noqa: E501  (one query a line: they are compared with each other)
"""Random declarations compiled into one pass give what each gives alone by a query written here, whatever the order."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.declarations.scratch import AS_OF, build, compiled, warehouse, write, write_contracts

SEEDS = (11, 12, 13, 14)
NAMES = ["Page Viewed", "Product Viewed", "Order Completed", "Signed Up"]
PAGES = ["/", "/pricing", "/cases", ""]
CHANNELS = ["web", "app", "store", None]


def facts(rng: random.Random, persons: int, count: int) -> list[tuple[Any, ...]]:
    """Events with many equal times, equal values, nulls, facts after as_of and facts of nobody."""
    rows = []
    for n in range(count):
        person = f"p{rng.randrange(persons)}" if rng.random() > 0.02 else None
        day, second = rng.randrange(1, 62), rng.choice([0, 0, 3600, rng.randrange(86400)])
        at = (
            f"2026-{1 + (day - 1) // 31:02}-{1 + (day - 1) % 31:02}" if day <= 31 else f"2026-02-{min(day - 31, 28):02}"
        )
        if rng.random() < 0.03:
            at = "2026-03-05"
        value = rng.choice([None, rng.uniform(-5, 100), 0.1, 1e9, -0.3])
        rows.append((
            person, f"e{n:05}", rng.choice(NAMES), f"{at} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}",
            rng.choice(CHANNELS), rng.choice(PAGES), f"p{rng.randrange(6)}", value, None,
        ))  # fmt: skip
    return rows


def condition(rng: random.Random, depth: int = 0) -> str:
    """A random condition over an event."""
    if depth < 2 and rng.random() < 0.5:
        word = rng.choice(["and", "or"])
        return f"({condition(rng, depth + 1)} {word} {'not ' if rng.random() < 0.3 else ''}{condition(rng, depth + 1)})"
    return rng.choice([
        f"event_name = '{rng.choice(NAMES)}'",
        f"event_name in ('{rng.choice(NAMES)}', '{rng.choice(NAMES)}')",
        f"channel <> '{rng.choice(['web', 'app'])}'",
        "channel is null",
        f"value > {rng.randrange(90)}",
        f"value * 2 - 1 between {rng.randrange(20)} and {rng.randrange(20, 120)}",
        "page_path like '/%'",
        f"occurred_at >= '2026-02-{rng.randrange(1, 28):02}'",
    ])  # fmt: skip


def naive(tag: dict[str, Any]) -> str:
    """The value of one statistical tag per person, said a second time and in another way than the compiler."""
    window = f"and occurred_at > (timestamp '{AS_OF}' - to_days({tag['window']}))" if tag["window"] else ""
    rows = f"from person_event where ({tag['where']}) and occurred_at <= timestamp '{AS_OF}' {window} and person_id is not null"
    of = tag["of"]
    text = f"nullif({of}, '')" if of and tag["kind"] == "text" else of
    ordered = f"select person_id, {text} as v, row_number() over (partition by person_id order by occurred_at DIR, hash(event_key) DIR) as n {rows} and {text} is not null"
    return {
        "count": f"select person_id, count(*) as v {rows} group by 1",
        "count_distinct": f"select person_id, count(*) as v from (select distinct person_id, {text} as v {rows}) where v is not null group by 1",
        "sum": f"select person_id, sum(round({of} * 1000000)::hugeint)::double / 1000000 as v {rows} group by 1",
        "avg": f"select person_id, sum(round({of} * 1000000)::hugeint)::double / 1000000 / count({of}) as v {rows} group by 1",
        "min": f"select person_id, list_sort(list({text}) filter ({text} is not null))[1] as v {rows} group by 1",
        "max": f"select person_id, list_reverse_sort(list({text}) filter ({text} is not null))[1] as v {rows} group by 1",
        "first": f"select person_id, v from ({ordered.replace('DIR', 'asc')}) where n = 1",
        "last": f"select person_id, v from ({ordered.replace('DIR', 'desc')}) where n = 1",
        "days_since": f"select person_id, floor(min(epoch(timestamp '{AS_OF}' - occurred_at)) / 86400)::bigint as v {rows} group by 1",
        "collect": f"select person_id, list_sort(list_distinct(list({text}))) as v {rows} and {text} is not null group by 1",
        "most_frequent": f"""select person_id, v from (
            select person_id, {text} as v, count(*) as c, max(occurred_at) as last {rows} and {text} is not null group by 1, 2)
            qualify row_number() over (partition by person_id order by c desc, last desc, v) = 1""",
    }[tag["aggregate"]]


def declared_tags(rng: random.Random, count: int) -> dict[str, dict[str, Any]]:
    """Random statistical tags by name."""
    tags = {}
    for n in range(count):
        aggregate = rng.choice(
            [
                "count",
                "count_distinct",
                "sum",
                "avg",
                "min",
                "max",
                "first",
                "last",
                "most_frequent",
                "days_since",
                "collect",
            ]
        )
        of, kind = rng.choice([("channel", "text"), ("product_id", "text"), ("page_path", "text"), ("value", "number")])
        if aggregate in ("sum", "avg"):
            of, kind = "value", "number"
        if aggregate == "collect":
            of, kind = "channel", "text"
        tags[f"t{n:02}"] = {
            "aggregate": aggregate, "of": None if aggregate in ("count", "days_since") else of, "kind": kind,
            "where": condition(rng), "window": rng.choice([None, None, 7, 30, 45]),
        }  # fmt: skip
    return tags


def load(rng: random.Random, threads: int, rows: list[tuple[Any, ...]], persons: int) -> duckdb.DuckDBPyConnection:
    """A warehouse with the events in a random order."""
    db = warehouse(threads)
    db.execute(
        f"insert into person by name select 'p' || i as person_id, timestamp '2026-01-01' as first_seen_at from range({persons}) t(i)"
    )
    shuffled = rng.sample(rows, len(rows))
    marks = "(?, ?, ?, ?::timestamp, ?, ?, ?, ?, ?)"
    for start in range(0, len(shuffled), 500):
        part = shuffled[start : start + 500]
        db.execute(
            f"insert into person_event values {', '.join([marks] * len(part))}", [v for row in part for v in row]
        )
    return db


@pytest.mark.parametrize("seed", SEEDS)
def test_one_pass_equals_each_alone(tmp_path: Path, seed: int) -> None:
    """Every tag of the pass equals its own query; two orders of rows and 1 or 3 threads give the same bytes."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    persons = 40
    rows = facts(rng, persons, 3000)
    tags = declared_tags(rng, 30)
    write_contracts(tmp_path)
    for name, tag in tags.items():
        text = f"type: statistical\nover: event\naggregate: {tag['aggregate']}\nwhere: |\n  {tag['where']}\n"
        text += f"of: {tag['of']}\n" if tag["of"] else ""
        text += f"window_days: {tag['window']}\n" if tag["window"] else ""
        write(tmp_path, f"tags/{name}.yml", text)
    models = compiled(tmp_path)
    one, other = load(rng, 1, rows, persons), load(rng, 3, rows, persons)
    build(one, models)
    build(other, models)
    for table in ("person_tags", "int_tags__tags_unpivoted"):
        query = f"select * from {table} order by all"
        assert one.execute(query).fetchall() == other.execute(query).fetchall(), (seed, table)
    for name, tag in tags.items():
        zero = 0 if tag["aggregate"] in ("count", "count_distinct", "sum") else None
        alone = dict(one.execute(naive(tag)).fetchall())
        together = dict(one.execute(f'select person_id, "{name}" from person_tags').fetchall())
        for person, value in together.items():
            expected = alone.get(person)
            expected = zero if expected is None else expected
            if isinstance(expected, float):
                assert value == pytest.approx(expected, rel=1e-12, abs=1e-9), (seed, name, tag, person)
            else:
                assert value == expected, (seed, name, tag, person)


@pytest.mark.parametrize("seed", SEEDS)
def test_score_rules_equal_a_sum_over_facts(tmp_path: Path, seed: int) -> None:
    """Points with decay equal a sum over single facts in Python; the order of the facts changes nothing."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    rows = facts(rng, 30, 2000)
    rules = []
    for n in range(12):
        rules.append({
            "name": f"r{n}", "points": rng.choice([1.5, 3, -2, 10]), "where": condition(rng),
            "window": rng.choice([None, 20, 50]), "half": rng.choice([None, 7, 14.5, 90]),
        })  # fmt: skip
    lines = ["type: points", "grades: [{grade: A}]", "rules:"]
    for rule in rules:
        lines += [f"  - name: {rule['name']}", "    dimension: intent", f"    points: {rule['points']}", "    over: event",
                  "    where: |", f"      {rule['where']}"]  # fmt: skip
        lines += [f"    window_days: {rule['window']}"] if rule["window"] else []
        lines += [f"    half_life_days: {rule['half']}"] if rule["half"] else []
    write_contracts(tmp_path)
    write(tmp_path, "scores/s.yml", "\n".join(lines) + "\n")
    models = compiled(tmp_path)
    one, other = load(rng, 1, rows, 30), load(rng, 3, rows, 30)
    build(one, models)
    build(other, models)
    query = "select * from int_scores__rules_evaluated order by all"
    found = one.execute(query).fetchall()
    assert found == other.execute(query).fetchall()
    by_rule = {(r[0], r[2]): (float(r[4]), r[5], r[6]) for r in found}
    for rule in rules:
        ages = one.execute(
            f"select person_id, epoch(timestamp '{AS_OF}' - occurred_at), occurred_at from person_event"
            f" where ({rule['where']}) and person_id is not null and occurred_at <= timestamp '{AS_OF}'"
        ).fetchall()
        expected: dict[str, list[Any]] = {}
        for person, age, at in ages:
            if rule["window"] and age >= rule["window"] * 86400:
                continue
            points = rule["points"] * (0.5 ** (age / 86400 / rule["half"]) if rule["half"] else 1)
            entry = expected.setdefault(person, [0.0, 0, at])
            entry[0], entry[1], entry[2] = entry[0] + points, entry[1] + 1, max(entry[2], at)
        alone = {p: v for (p, r), v in by_rule.items() if r == rule["name"]}
        assert alone.keys() == expected.keys(), (seed, rule)
        for person, (points, count, last) in alone.items():
            assert (count, last) == (expected[person][1], expected[person][2]), (seed, rule, person)
            assert points == pytest.approx(expected[person][0], abs=1e-5 * count + 1e-9), (seed, rule, person)
