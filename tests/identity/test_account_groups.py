"""Groups of companies on random parents, circles included, against a walk in Python that shares nothing with the SQL."""

from __future__ import annotations

import os
import random

import duckdb
import jinja2
import pytest

from cdp.settings import PROJECT_ROOT

MODELS = PROJECT_ROOT / "dbt_project" / "models" / "profiles"
EXAMPLES = int(os.environ.get("CDP_TEST_EXAMPLES", "25"))


def rendered(text: str) -> str:
    """A model of dbt without macros as SQL; `ref` gives the table's bare name."""
    return jinja2.Template(text).render(ref=str)


def built(
    parents: dict[str, str | None],
    ages: dict[str, int | None],
    models: tuple[str, ...] = ("account_parent", "account_hierarchy"),
) -> duckdb.DuckDBPyConnection:
    """The models of these accounts: key -> parent, key -> age (days after the first)."""
    con = duckdb.connect(config={"threads": 2, "disabled_optimizers": "outer_join_simplification"})
    con.execute("create table account_record (account_key varchar, parent_account_key varchar, created_at timestamp)")
    con.executemany(
        "insert into account_record values (?, ?, timestamp '2026-01-01' + to_days(?::int))",
        [(key, parent, ages[key]) for key, parent in parents.items()],
    )
    for name in models:
        con.execute(f"create table {name} as {rendered((MODELS / f'{name}.sql').read_text())}")
    return con


def opened(parents: dict[str, str | None], ages: dict[str, int | None]) -> dict[str, str | None]:
    """Each account's parent with circles opened: walk up from every account, and open the circle that is met."""
    up = {key: (p if p in parents and p != key else None) for key, p in parents.items()}
    for start in parents:
        path: list[str] = []
        at: str | None = start
        while at is not None and at not in path:
            path.append(at)
            at = up[at]
        if at is not None:
            circle = path[path.index(at) :]
            oldest = min(circle, key=lambda k: (ages[k] is None, ages[k] or 0, k))
            up[oldest] = None
    return up


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_random_parents(seed: int) -> None:
    print(f"seed {seed}")
    dice = random.Random(seed)
    keys = [f"a{number:03}" for number in range(dice.choice([1, 3, 12, 60]))]
    parents: dict[str, str | None] = {
        key: dice.choice([None, *dice.choices(keys, k=dice.choice([1, 5])), "nobody"]) for key in keys
    }
    ages = {key: dice.choice([None, 0, 1, 2, 3]) for key in keys}
    expected = opened(parents, ages)
    con = built(parents, ages)
    assert dict(con.execute("select account_key, parent_account_key from account_parent").fetchall()) == expected
    cut = {k for (k,) in con.execute("select account_key from account_parent where is_parent_cut").fetchall()}
    assert cut == {k for k, p in parents.items() if p in parents and p != k and expected[k] is None}
    above = set()
    for key in keys:
        at: str | None = key
        steps = 0
        while at is not None:
            above.add((key, at, steps, expected[at] is None))
            at, steps = expected[at], steps + 1
    found = con.execute("select account_key, ancestor_key, distance, is_ultimate from account_hierarchy").fetchall()
    assert len(found) == len(above)
    assert set(found) == above


def test_a_long_chain_and_a_large_circle_are_followed_to_their_end() -> None:
    chain: dict[str, str | None] = {f"c{n:04}": f"c{n - 1:04}" if n else None for n in range(300)}
    circle: dict[str, str | None] = {f"r{n:04}": f"r{(n + 1) % 3000:04}" for n in range(3000)}
    ages = dict.fromkeys([*chain, *circle], 7) | {"r1234": 1}
    con = built({**chain, **circle}, ages, models=("account_parent",))
    assert con.execute("select account_key from account_parent where is_parent_cut").fetchall() == [("r1234",)]
    assert con.execute("select count(*) from account_parent where circle_key = 'r1234'").fetchall() == [(3000,)]
