"""The engine's SQL against the definition, on random graphs; and every way of getting there against a rebuild, byte for byte.

`CDP_IDENTITY_EXAMPLES` sets the number of graphs.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from tests.identity import graphs
from tests.identity.engine import MODELS, Engine
from tests.identity.oracle import Seen, answer

EXAMPLES = int(os.environ.get("CDP_IDENTITY_EXAMPLES", "7"))


def seeded() -> random.Random:
    seed = int(os.environ.get("CDP_IDENTITY_SEED", random.SystemRandom().randrange(2**32)))
    print("seed", seed)
    return random.Random(seed)


def blocked(rows: list[Seen]) -> set[tuple[str, str]]:
    return {r.name for r in rows if r.value == "nobody"}


def rebuilt(types: dict, rows: list[Seen], overrides: list, matches: list, threads: int = 1) -> Engine:  # type: ignore[type-arg]
    """An engine that saw everything at once, in another order."""
    engine = Engine(threads=threads, blocked=graphs.BLOCKED)
    graphs.prepare(engine, types)
    graphs.set_overrides(engine, overrides)
    graphs.set_matches(engine, matches)
    graphs.observe(engine, sorted(rows, key=lambda r: (r.name, r.record)))
    engine.run()
    return engine


@pytest.mark.parametrize("number", range(EXAMPLES))
def test_random_graphs(number: int) -> None:
    rng = seeded()
    types = graphs.random_rules(rng)
    rows = graphs.random_rows(rng, types, rng.choice([4, 12, 40, 120, 400]))
    overrides = graphs.random_overrides(rng, rows)
    matches = graphs.random_matches(rng, rows)
    engine = rebuilt(types, rows, overrides, matches, threads=rng.choice([1, 2, 4]))
    expected, found = answer(rows, types, overrides, blocked(rows), matches), graphs.found(engine)
    assert found.refused == expected.refused
    assert found.persons == expected.persons
    assert found.records == expected.records


@pytest.mark.parametrize("number", range(EXAMPLES))
def test_increments_end_where_a_rebuild_ends(number: int) -> None:
    """Batches in any order; rows that come again, late, corrected, or are taken back; overrides and rules that change; killed runs."""
    rng = seeded()
    types = graphs.random_rules(rng)
    rows = graphs.random_rows(rng, types, rng.choice([6, 25, 80]))
    rng.shuffle(rows)
    overrides, matches = graphs.random_overrides(rng, rows), graphs.random_matches(rng, rows)
    engine = Engine(threads=rng.choice([1, 2, 4]), blocked=graphs.BLOCKED)
    graphs.prepare(engine, types)
    there: list[Seen] = []
    steps = rng.choice([2, 4, 7])
    for step in range(steps):
        batch = rows[len(rows) * step // steps : len(rows) * (step + 1) // steps]
        known = {(r.record, r.name) for r in there}
        batch = [r for r in batch if (r.record, r.name) not in known]
        graphs.observe(engine, batch, provider=rng.choice(["one", "two", f"batch {step}"]))
        there += batch
        event = rng.choice(["nothing", "delete", "correct", "again", "overrides", "matches", "rules", "nothing new"])
        some = rng.sample(there, k=min(len(there), rng.choice([1, 3])))
        if event in ("delete", "correct"):
            graphs.retract(engine, some)
            there = [r for r in there if r not in some]
        if event == "correct":
            taken = {(r.record, r.name) for r in there}
            moved = [
                replace(r, sequence=r.sequence + rng.choice([0, 3]), value=rng.choice(there or some).value)
                for r in some
            ]
            moved = list({(r.record, r.name): r for r in moved if (r.record, r.name) not in taken}.values())
            graphs.observe(engine, moved, provider="one")
            there += moved
        if event == "again":
            graphs.observe(engine, some, provider=rng.choice(["one", "two"]))
            there += some
        if event == "overrides":
            overrides = graphs.random_overrides(rng, there or rows)
        if event == "matches":
            matches = graphs.random_matches(rng, there or rows)
        if event == "rules":
            types = graphs.random_rules(rng)
            graphs.set_types(engine, types)
        graphs.set_overrides(engine, overrides)
        graphs.set_matches(engine, matches)
        if rng.random() < 0.4:
            engine.run(until=rng.choice(MODELS[3:]))  # killed; what was under way is taken over by the next run
        engine.run()
        if event == "nothing new":
            engine.run()
    whole = rebuilt(types, there, overrides, matches)
    one, other = graphs.contents(engine), graphs.contents(whole)
    for table in one:
        assert one[table] == other[table], table
    assert graphs.found(engine) == answer(there, types, overrides, blocked(there), matches)
