"""The life cycle and the RFM grid equal a sequential account of the same facts."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.declarations.scratch import AS_OF, build, compiled, runnable, warehouse, write, write_contracts

MODELS = Path(__file__).resolve().parents[2] / "dbt_project" / "models" / "profiles"
NOW = datetime.fromisoformat(AS_OF)
SEEDS = (21, 22, 23)


def make(db: duckdb.DuckDBPyConnection, model: str) -> None:
    """Build a hand-written model of the profiles."""
    db.execute(f"drop table if exists {model}")
    db.execute(f"create table {model} as {runnable((MODELS / f'{model}.sql').read_text(encoding='utf-8'))}")


@pytest.mark.parametrize("seed", SEEDS)
def test_lifecycle_equals_a_fold(tmp_path: Path, seed: int) -> None:
    """Random machines over random facts: the stage and its time are those of a walk through the facts in time order."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    stages = ["one", "two", "three", "four", "five"]
    sources = {s: sorted(set(rng.sample(["start", *stages], 3)) - {s}) for s in stages}
    sources["one"] = ["start"]
    for n, stage in enumerate(stages[1:], start=1):
        sources[stage] = sorted({*sources[stage], stages[n - 1]} - {stage})
    nth = {s: rng.choice([1, 1, 2, 3]) for s in stages}
    lines = ["owner: x", "description: y", "models:", "  - name: m", "    description: z", "    stages:"]
    for stage in stages:
        lines += [f"      - name: {stage}", "        description: d",
                  f"        from: [{', '.join(sources[stage])}]", "        enter:",
                  f"          - {{over: stage_change, where: to_stage = '{stage}', nth: {nth[stage]}}}"]  # fmt: skip
    write_contracts(tmp_path)
    write(tmp_path, "lifecycle.yml", "\n".join(lines) + "\n")
    facts = []
    for n in range(3000):
        at = NOW - timedelta(days=rng.randrange(-2, 40), hours=rng.choice([0, 0, 5]))
        facts.append((f"p{rng.randrange(80)}", "lead", f"l{n:05}", None, rng.choice(stages), at, n))
    db = warehouse()
    marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(facts))
    db.execute(f"insert into person_stage_change values {marks}", [v for f in rng.sample(facts, len(facts)) for v in f])
    db.execute("drop table person_lifecycle")
    build(db, compiled(tmp_path))
    make(db, "person_lifecycle_change")
    make(db, "person_lifecycle")
    found = {
        p: (s, e) for p, s, e in db.execute("select person_id, stage, entered_at from person_lifecycle").fetchall()
    }

    moves = db.execute(
        "select person_id, from_stage, stage, entered_at, left_at from person_lifecycle_change order by 1, move_number"
    ).fetchall()

    expected: dict[str, tuple[str, Any]] = {}
    walked: list[list[Any]] = []
    seen: dict[tuple[str, str], int] = {}
    numbered = []
    for person, kind, key, _, stage, at, sequence in sorted(facts, key=lambda f: (f[5], f"{f[1]}/{f[2]}/{f[6]}")):
        if at <= NOW:
            seen[person, stage] = seen.get((person, stage), 0) + 1
            if seen[person, stage] >= nth[stage]:
                numbered.append((at, stages.index(stage), f"{kind}/{key}/{sequence}", person, stage))
    for at, _, _, person, stage in sorted(numbered):
        current = expected.get(person, ("start", None))[0]
        if current in sources[stage]:
            for move in walked:
                if move[0] == person and move[4] is None:
                    move[4] = at
            walked.append([person, current, stage, at, None])
            expected[person] = (stage, at)
    assert found == expected, seed
    assert moves == [tuple(move) for move in sorted(walked, key=lambda move: move[0])], seed


@pytest.mark.parametrize("method", ["edges", "quantiles"])
@pytest.mark.parametrize("seed", SEEDS)
def test_rfm_ties_share_a_bin(tmp_path: Path, seed: int, method: str) -> None:
    """Bins equal a count of who is strictly worse (or the declared edges); equal values have equal points."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    bins = {"edges": ["[7, 14, 21, 28]", "[2, 3, 4, 6]", "[0, 50, 100, 200]"], "quantiles": []}[method]
    bins = [f"{{edges: {b}}}" for b in bins] or ["{quantiles: 5}"] * 3
    write_contracts(tmp_path)
    write(tmp_path, "defaults.yml", "owner: x\ndescription: y\nexclude: is_test\n")
    write(tmp_path, "scores/rfm.yml",
          f"type: rfm\nwindow_days: 40\nrecency: {bins[0]}\nfrequency: {bins[1]}\nmonetary: {bins[2]}\n"
          "classes: [{name: best, when: r >= 4 and f >= 4}, {name: good, when: r + f + m > 8}]\n"
          "otherwise: rest\n")  # fmt: skip
    db = warehouse()
    db.execute("insert into person by name select 'p' || i as person_id, i % 10 = 0 as is_test from range(120) t(i)")
    orders = [
        (f"p{rng.randrange(120)}", f"o{n:04}", NOW - timedelta(days=rng.randrange(-3, 45), hours=rng.choice([0, 1])),
         rng.choice([10.0, 10.0, 50.0, 99.9, -5.0]), rng.random() < 0.9)
        for n in range(400)
    ]  # fmt: skip
    for order in orders:
        db.execute(
            "insert into person_order by name"
            " select ? as person_id, ? as order_key, ? as ordered_at, ? as net_value, ? as is_revenue",
            order,
        )
    db.execute("drop table person_rfm")
    build(db, compiled(tmp_path))
    make(db, "person_rfm")
    found = {r[0]: r[1:] for r in db.execute("select person_id, r, f, m, rfm, rfm_class from person_rfm").fetchall()}

    measured: dict[str, list[float]] = {}
    for person, _, at, value, counts in orders:
        if counts and NOW - timedelta(days=40) < at <= NOW and int(person[1:]) % 10:
            days = (NOW - at).days
            entry = measured.setdefault(person, [days, 0, 0])
            entry[0], entry[1], entry[2] = min(entry[0], days), entry[1] + 1, round(entry[2] + value, 6)
    edges = [[7, 14, 21, 28], [2, 3, 4, 6], [0, 50, 100, 200]]
    expected = {}
    for person, values in measured.items():
        points = []
        for n, value in enumerate(values):
            if method == "edges":
                above = sum(value >= e for e in edges[n])
                points.append(5 - above if n == 0 else 1 + above)
            else:
                worse = sum((v[n] > value) if n == 0 else (v[n] < value) for v in measured.values())
                points.append(min(5, 1 + worse * 5 // len(measured)))
        r, f, m = points
        kind = "best" if r >= 4 and f >= 4 else "good" if r + f + m > 8 else "rest"
        expected[person] = (r, f, m, f"{r}{f}{m}", kind)
    assert found == expected, seed
