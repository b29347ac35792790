"""Patterns of rules as they are written into SQL: faster, and the same answer."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import jinja2
import pytest

from cdp.identity.rules import fits_sql
from dbt_declarations.sources import pattern_macros

PIECES = ["a", "B", "0", "-", " ", "\n", "\r", "\t", "@", "null", "NULL", "ü", "用户", "👩‍👩‍👧", "\u2028", "\x85"]


def texts(seed: int, count: int = 400) -> list[str]:
    rng = random.Random(seed)
    return ["", *("".join(rng.choices(PIECES, k=rng.randrange(1, 7))) for _ in range(count))]


@pytest.mark.parametrize("pattern", ["^.{1,3}$", "^.{0,2}$", "^.{4,4}$", "^.{2,1000}$", "^.{2,}$", "^[^\\n]{1,3}$"])
def test_a_pattern_that_counts_is_counted(pattern: str) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    differing = f"select v from (select unnest(?::varchar[]) as v) where {fits_sql('v', pattern)} is distinct from regexp_full_match(v, ?)"
    assert duckdb.connect().execute(differing, [texts(seed), pattern]).fetchall() == []


def test_the_first_pattern_that_matches_gives_the_reason(tmp_path: Path) -> None:
    """One pattern of all goes first, to see that none matches: flags and alternatives of one must not reach into another."""
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    rows = [
        ("*", "^(?i)null$|^0", "one"),
        ("phone", "^B", "two"),
        ("*", "b|@@", "three"),
        ("email", "(?s)^@.*a$", "four"),
    ]
    blocked = tmp_path / "blocked.csv"
    lines = [",".join(("identifier_type", "pattern", "reason")), *(f'{t},"{p}",{r}' for t, p, r in rows)]
    blocked.write_text("\n".join(lines), encoding="utf-8")
    tests = tmp_path / "tests.csv"
    tests.write_text("attribute,pattern,reason\n", encoding="utf-8")
    macros = jinja2.Environment(extensions=["jinja2.ext.do"]).from_string(  # noqa: S701 - SQL
        "{% macro return(value) %}{{ value }}{% endmacro %}" + pattern_macros(blocked, tests)
    )
    case = str(macros.module.blocked_reason("t", "v"))  # type: ignore[attr-defined]
    assert str(macros.module.test_reason("t", "v")) == "null::varchar"  # type: ignore[attr-defined]
    con = duckdb.connect()
    found = con.execute(
        f"select t, v, {case} from (select unnest(?::varchar[]) as v), (values ('phone'), ('email'), ('other')) as k(t)",
        [[*texts(seed), "null", "0", "B-", "ab", "@@", "@0a", "@\na", "-0"]],
    ).fetchall()
    for type_, value, reason in found:
        matching = [
            r for t, p, r in rows
            if t in ("*", type_) and con.execute("select regexp_matches(?, ?)", [value, p]).fetchall()[0][0]
        ]  # fmt: skip
        assert reason == (matching[0] if matching else None), (type_, value)
    assert {reason for _, _, reason in found} == {None, "one", "two", "three", "four"}
