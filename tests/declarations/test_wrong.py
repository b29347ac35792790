"""More than 200 wrong declarations, made from right ones: each is refused with file, line, key and what is accepted."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdp.errors import DeclarationError
from tests.declarations.scratch import compiled, write_contracts

# One right declaration of each kind, with every key that takes an expression.
RIGHT: dict[str, dict[str, Any]] = {
    "tags/attribute.yml": {"type": "attribute", "value": "upper(city)", "value_type": "text", "refresh": "daily"},
    "tags/count.yml": {"type": "statistical", "over": "event", "aggregate": "sum", "of": "value", "where": "channel = 'web'",
                       "window_days": 30, "history": "none", "since": "2026-01-01", "expires": "2027-01-01"},
    "tags/flag.yml": {"type": "rule", "when": "city = 'x'", "group": "g", "priority": 1},
    "tags/cases.yml": {"type": "rule", "cases": [{"value": "a", "when": "is_test"}], "otherwise": "b"},
    "tags/by_hand.yml": {"type": "manual", "value_type": "text", "allowed_values": ["a", "b"]},
    "scores/points.yml": {
        "type": "points", "eligible": "is_bot", "dimensions": {"fit": {"cap": 10}},
        "rules": [{"name": "one", "dimension": "fit", "points": 5, "when": "is_test", "cap": 5},
                  {"name": "two", "dimension": "intent", "points": 5, "over": "event", "where": "value > 1", "window_days": 3,
                   "half_life_days": 2}],
        "grades": [{"grade": "A", "at_least": 10, "stage": "m.one"}, {"grade": "B"}],
        "accounts": {"top": 3, "cap": 50, "grades": [{"grade": "X", "at_least": 1}, {"grade": "Y"}]},
    },
    "scores/rfm.yml": {"type": "rfm", "window_days": 90, "recency": {"edges": [1, 2, 3, 4]}, "frequency": {"quantiles": 5},
                       "monetary": {"quantiles": 5}, "classes": [{"name": "best", "when": "r > 3"}], "otherwise": "rest"},
    "segments/everything.yml": {
        "where": "city = 'x'", "include": "is_test", "exclude": "is_bot", "accounts": {"any": "can_email"},
        "group": "g", "priority": 1, "limit": {"most": 3, "order_by": "identifier_count"}, "holdout": {"percent": 5, "key": "all"},
        "split": [{"arm": "a", "percent": 40}, {"arm": "b", "percent": 60}],
        "drift": {"grows_at_most": 50, "shrinks_at_most": 50, "within_days": 7, "accepted_on": "2026-01-01"},
    },
    "lifecycle.yml": {"owner": "o", "description": "d", "models": [{"name": "m", "description": "d", "stages": [
        {"name": "one", "description": "d", "from": ["start"], "enter": [{"over": "order", "where": "is_revenue", "nth": 2}]}]}]},
    "defaults.yml": {"owner": "o", "description": "d", "exclude": "is_test"},
}  # fmt: skip
# Where each expression stands, and what a condition is called in that scope that is right.
EXPRESSIONS: list[tuple[str, tuple[str | int, ...]]] = [
    ("tags/attribute.yml", ("value",)),
    ("tags/count.yml", ("of",)),
    ("tags/count.yml", ("where",)),
    ("tags/flag.yml", ("when",)),
    ("tags/cases.yml", ("cases", 0, "when")),
    ("scores/points.yml", ("eligible",)),
    ("scores/points.yml", ("rules", 0, "when")),
    ("scores/points.yml", ("rules", 1, "where")),
    ("scores/rfm.yml", ("classes", 0, "when")),
    ("segments/everything.yml", ("where",)),
    ("segments/everything.yml", ("include",)),
    ("segments/everything.yml", ("exclude",)),
    ("segments/everything.yml", ("accounts", "any")),
    ("segments/everything.yml", ("limit", "order_by")),
    ("lifecycle.yml", ("models", 0, "stages", 0, "enter", 0, "where")),
    ("defaults.yml", ("exclude",)),
]
# Wrong wherever an expression stands.
WRONG_EXPRESSIONS = [
    "no_such_column = 1", "no_such.column = 1", "person.no_such = 1", "1 = 'one'", "'a' + 1 > 2", "count(*) > 1", "sum(1) > 1",
    "row_number() over () = 1", "(select 1) = 1", "exists (select 1)", "1 in (select 1)", "no_such_function(1) = 1",
    "current_timestamp > '2026-01-01'", "now() is null", "read_csv('x') is null", "1 = null", "(1 = 1", "1 = 1; drop table person",
    "case when 1 then 2 end = 2", "1 between 'a' and 2", "not 1", "1 and 2", "1e300 = 1", "lower(1) = 'x'", "'x' like 1",
    "cast(1 as blob) is null", "{{ env_var('HOME') }} = 1", "\"unclosed", "a => 1", "random() > 0", "1 is true",
]  # fmt: skip
# (file, keys, value): wrong for the shape of the declaration. A value of `...` means that the key is left out.
SHAPES: list[tuple[str, tuple[str | int, ...], Any]] = [
    ("tags/attribute.yml", ("value",), ...), ("tags/attribute.yml", ("value_type",), "number"),
    ("tags/attribute.yml", ("refresh",), "hourly"), ("tags/attribute.yml", ("pii",), "secret"),
    ("tags/count.yml", ("aggregate",), "median"), ("tags/count.yml", ("aggregate",), "count"), ("tags/count.yml", ("of",), ...),
    ("tags/count.yml", ("over",), "orders"), ("tags/count.yml", ("window_days",), 0), ("tags/count.yml", ("window_days",), 1.5),
    ("tags/count.yml", ("window_hours",), 3), ("tags/count.yml", ("window_sessions",), 2), ("tags/count.yml", ("since",), "soon"),
    ("tags/count.yml", ("since",), "2026-02-30"), ("tags/count.yml", ("expires",), "2025-01-01"), ("tags/count.yml", ("history",), "all"),
    ("tags/flag.yml", ("when",), ...), ("tags/flag.yml", ("priority",), 0), ("tags/flag.yml", ("priority",), ...),
    ("tags/flag.yml", ("group",), "A group"), ("tags/flag.yml", ("cases",), []), ("tags/cases.yml", ("cases", 0, "value"), ...),
    ("tags/cases.yml", ("group",), "g"), ("tags/cases.yml", ("value_type",), "boolean"), ("tags/by_hand.yml", ("value_type",), "json"),
    ("tags/by_hand.yml", ("allowed_values",), "a"), ("tags/by_hand.yml", ("type",), "by_hand"),
    ("scores/points.yml", ("rules",), []), ("scores/points.yml", ("rules", 0, "points"), 0),
    ("scores/points.yml", ("rules", 0, "points"), "many"), ("scores/points.yml", ("rules", 0, "dimension"), "mood"),
    ("scores/points.yml", ("rules", 0, "cap"), -1), ("scores/points.yml", ("rules", 0, "half_life_days"), 3),
    ("scores/points.yml", ("rules", 0, "name"), "dimension_cap"), ("scores/points.yml", ("rules", 1, "name"), "one"),
    ("scores/points.yml", ("rules", 1, "half_life_days"), 0), ("scores/points.yml", ("rules", 1, "over"), ...),
    ("scores/points.yml", ("dimensions", "fit", "cap"), 0), ("scores/points.yml", ("grades",), []),
    ("scores/points.yml", ("grades", 0, "at_least"), ...), ("scores/points.yml", ("grades", 1, "at_least"), 1),
    ("scores/points.yml", ("grades", 0, "grade"), "B"), ("scores/points.yml", ("grades", 0, "stage"), "m.two"),
    ("scores/points.yml", ("grades", 0, "stage"), "one"), ("scores/points.yml", ("accounts", "top"), 0),
    ("scores/points.yml", ("accounts", "grades"), []), ("scores/rfm.yml", ("recency", "edges"), [4, 3, 2, 1]),
    ("scores/rfm.yml", ("recency", "edges"), [1, 2, 3]), ("scores/rfm.yml", ("recency", "quantiles"), 5),
    ("scores/rfm.yml", ("frequency", "quantiles"), 4), ("scores/rfm.yml", ("otherwise",), "best"), ("scores/rfm.yml", ("classes",), []),
    ("segments/everything.yml", ("priority",), ...), ("segments/everything.yml", ("accounts",), {}),
    ("segments/everything.yml", ("limit", "most"), 0), ("segments/everything.yml", ("limit", "order_by"), ...),
    ("segments/everything.yml", ("holdout", "percent"), 0), ("segments/everything.yml", ("holdout", "percent"), 101),
    ("segments/everything.yml", ("split", 0, "percent"), 41), ("segments/everything.yml", ("split", 0, "arm"), "b"),
    ("segments/everything.yml", ("split", 0, "arm"), "holdout"), ("segments/everything.yml", ("split",), [{"arm": "a", "percent": 100}]),
    ("segments/everything.yml", ("drift", "within_days"), 0), ("segments/everything.yml", ("drift", "accepted_on"), "later"),
    ("segments/everything.yml", ("where",), "in_segment('nowhere')"), ("segments/everything.yml", ("where",), "in_list('nobody')"),
    ("segments/everything.yml", ("where",), "in_segment('everything')"), ("segments/everything.yml", ("where",), "in_segment(1)"),
    ("lifecycle.yml", ("models", 0, "stages", 0, "from"), ["one"]), ("lifecycle.yml", ("models", 0, "stages", 0, "from"), []),
    ("lifecycle.yml", ("models", 0, "stages", 0, "name"), "start"), ("lifecycle.yml", ("models", 0, "stages", 0, "enter", 0, "nth"), 0),
    ("lifecycle.yml", ("models", 0, "stages", 0, "enter", 0, "over"), "visit"), ("lifecycle.yml", ("models",), []),
    ("defaults.yml", ("exclude",), ...),
]  # fmt: skip


def placed(declared: dict[str, Any], keys: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """A copy with another value at the keys."""
    made = copy.deepcopy(declared)
    at: Any = made
    for key in keys[:-1]:
        at = at[key]
    if value is ...:
        del at[keys[-1]]
    else:
        at[keys[-1]] = value
    return made


def inner(declared: Any, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Keys of every mapping below a declaration, itself included."""
    if isinstance(declared, dict):
        yield keys
        for key, value in declared.items():
            yield from inner(value, (*keys, key))
    elif isinstance(declared, list):
        for position, value in enumerate(declared):
            yield from inner(value, (*keys, position))


def cases() -> Iterator[tuple[str, tuple[str | int, ...], Any]]:
    """Every wrong declaration: file, keys, wrong value."""
    for position, (file, keys) in enumerate(EXPRESSIONS):
        # all of them where facts and where segments are chosen, every fourth elsewhere
        whole = (file, keys) in (("tags/count.yml", ("where",)), ("segments/everything.yml", ("where",)))
        for wrong in WRONG_EXPRESSIONS if whole else WRONG_EXPRESSIONS[position % 4 :: 4]:
            yield file, keys, wrong
    yield from SHAPES
    for file, declared in RIGHT.items():
        for keys in inner(declared):
            yield file, (*keys, "unknwon_key"), 1
        for key in (*list(declared)[::3], "owner"):
            yield file, (key,), {"a": {"mapping": ["where", "none", "belongs"]}}


def text(file: str, declared: dict[str, Any]) -> str:
    """The file of a declaration."""
    head = {"name": Path(file).stem, "owner": "o", "description": "d"} if "/" in file else {}
    return yaml.safe_dump({**head, **declared}, sort_keys=False, allow_unicode=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with every right declaration, which compiles."""
    folder = tmp_path_factory.mktemp("project")
    write_contracts(folder)
    for file, declared in RIGHT.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text(file, declared), encoding="utf-8")
    compiled(folder)
    return folder


def test_each_wrong_declaration_is_refused_clearly(project: Path) -> None:
    """One error at least names the file with its line and the key; every message is short, says what is expected or what to do, and shows no
    insides of ours. None is accepted, none is another exception."""
    wrong, seen = [], 0
    for file, keys, value in cases():
        seen += 1
        path = project / file
        path.write_text(text(file, placed(RIGHT[file], keys, value)), encoding="utf-8")
        try:
            compiled(project)
            wrong.append(f"{file} {keys} {value!r}: accepted")
        except DeclarationError as error:
            wrong += [f"{file} {keys} {value!r}: {w}" for w in unclear(error, file)]
        except Exception as error:
            wrong.append(f"{file} {keys} {value!r}: {type(error).__name__} {error}")
        finally:
            path.write_text(text(file, RIGHT[file]), encoding="utf-8")
    print(f"{seen} wrong declarations")
    assert seen >= 200
    assert wrong == [], f"{len(wrong)} of {seen}:\n" + "\n".join(wrong[:40])
    compiled(project)


def unclear(error: DeclarationError, file: str) -> Iterator[str]:
    """What is missing in the messages of an error."""
    places = [e.where for e in error.errors]
    if not any(file in where and where.rsplit(":", 1)[-1].isdigit() for where in places):
        yield f"no message names file and line: {places}"
    if len(error.errors) > 3:
        yield f"{len(error.errors)} messages for one mistake: {error}"
    for single in error.errors:
        if len(single.what) > 300 or any(
            word in single.render() for word in ("Traceback", "<class", "object at 0x", "pydantic")
        ):
            yield f"not for people: {single.render()}"
        if not (single.expected or single.fix) and ":" not in single.what:
            yield f"says neither what is expected nor what to do: {single.render()}"
