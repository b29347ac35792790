"""Types: what fits lands typed, what does not lands beside or is set aside, and every change of shape is recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdp.declarations import parse
from cdp.errors import DeclarationError
from cdp.sources import Source
from tests.ingest.conftest import Project

TYPES = """
tables:
  rows:
    description: Rows.
    files: "*.jsonl"
    format: jsonl
    required: [id]
    columns:
      id: bigint
      n: bigint
      x: double
      ok: bool
      at: timestamp
      day: date
      data: json
      word: text
      code: {type: text, pattern: "[A-Z]{2}[0-9]+"}
      local: {type: text, formats: ["%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M"]}
      born: {type: date, formats: ["%d.%m.%Y"]}
"""
FITS: list[tuple[str, Any, str]] = [
    ("n", "12", "12"),
    ("n", " 7 ", "7"),
    ("n", 12.0, "12"),
    ("n", "-3", "-3"),
    ("x", "1e3", "1000.0"),
    ("x", 5, "5.0"),
    ("ok", "true", "true"),
    ("ok", False, "false"),
    ("at", "2026-01-01T08:00:00+08:00", "2026-01-01 00:00:00+00"),
    ("at", "2026-01-01T00:00:00.25Z", "2026-01-01 00:00:00.25+00"),
    ("day", "2026-02-28", "2026-02-28"),
    ("data", {"a": [1, None]}, '{"a":[1,null]}'),
    ("word", 5, "5"),
    ("word", {"a": 1}, '{"a":1}'),
    ("word", "", ""),
    ("code", "DE12", "DE12"),
    ("local", "28.02.2026 18:00", "28.02.2026 18:00"),
    ("local", "2026/02/28 18:00", "2026/02/28 18:00"),
    ("born", "28.02.2026", "2026-02-28"),
]
MISFITS: list[tuple[str, Any]] = [
    ("n", "12.5"),
    ("n", 12.5),
    ("n", "twelve"),
    ("n", True),
    ("n", "9223372036854775808"),
    ("x", "NaN"),
    ("x", "infinity"),
    ("x", "1,5"),
    ("ok", "maybe"),
    ("at", "yesterday"),
    ("at", "2026-02-30T00:00:00Z"),
    ("at", "infinity"),
    ("day", "31.12.2026"),
    ("data", "{torn"),
    ("code", "DE12 "),
    ("code", "de12"),
    ("local", "31.02.2026 18:00"),
    ("local", "2026-02-28 18:00"),
    ("born", "2026-02-28"),
]


def test_values_that_fit_and_values_that_do_not(project: Project) -> None:
    source = project.declare("typed", TYPES)
    rows = [{"id": n, column: value} for n, (column, value, *_) in enumerate([*FITS, *MISFITS])]
    rows += [
        {"id": len(rows), "n": " ", "x": "", "at": "", "day": None, "code": "", "local": "", "born": ""}
    ]  # blank is missing
    project.drop("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert project.load(source).rows == {"rows": len(rows)}
    for n, (column, value, expected) in enumerate(FITS):
        ((found,),) = project.query(f'select "{column}"::varchar from raw.typed__rows where id = {n}')
        assert found == expected, (column, value)
    for n, (column, value) in enumerate(MISFITS, len(FITS)):
        ((found, beside),) = project.query(f'select "{column}", {column}__v_text from raw.typed__rows where id = {n}')
        text = value if isinstance(value, str) else json.dumps(value)
        assert (found, beside) == (None, text), (column, value)
    assert project.query(
        "select count(*) from raw.typed__rows where id = ? and coalesce(n__v_text, x__v_text, at__v_text) is null",
        len(rows) - 1,
    ) == [(1,)]
    changes = project.query(
        "select column_name, row_count, known_type from raw.raw_schema_change where change = 'type changed'"
    )
    assert {(c, n) for c, n, _ in changes} == {(c, sum(m[0] == c for m in MISFITS)) for c, _ in MISFITS}
    assert ("at", "TIMESTAMP WITH TIME ZONE") in {(c, t) for c, _, t in changes}


@pytest.mark.parametrize("column", ["at", "code", "local"])
def test_a_required_value_that_does_not_fit_sets_the_row_aside(project: Project, column: str) -> None:
    source = project.declare("typed", TYPES.replace("required: [id]", f"required: [id, {column}]"))
    fits = {c: v for c, v, _ in reversed(FITS)}
    misfit = next(v for c, v in MISFITS if c == column)
    rows = [{"id": 1, column: fits[column]}, {"id": 2, column: misfit}, {"id": 3, column: " "}, {"id": 4}]
    project.drop("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert project.load(source).rows == {"rows": 1}
    why = {
        "at": "is not a timestamp",
        "code": "does not match [A-Z]{2}[0-9]+",
        "local": "is not written as %d.%m.%Y %H:%M or %Y/%m/%d %H:%M",
    }
    missing = f"{column}: is required but missing"
    assert [(p, r) for _, p, r, _ in project.open_rows()] == [
        (2, f"{column}: {why[column]}"),
        (3, missing),
        (4, missing),
    ]


def test_decimal_commas_are_not_guessed(project: Project) -> None:
    source = project.declare(
        "till",
        "tables:\n  sales: {description: a, files: '*.csv', format: csv, delimiter: ';', decimal_comma: true, columns: {a: double, b: bigint}}\n",
    )
    values = {
        "1299,50": 1299.5,
        "1.299,50": 1299.5,
        "1.299.000": 1299000.0,
        "-3,": -3.0,
        "7": 7.0,
        "12.50": None,
        "1.29,5": None,
        "1,2,3": None,
    }
    project.drop("a.csv", "a;b\n" + "".join(f"{text};1.000\n" for text in values))
    project.load(source)
    assert project.values("till__sales", "a") == list(values.values())
    assert set(project.values("till__sales", "b")) == {1000}
    assert sorted(v for v in project.values("till__sales", "a__v_text") if v) == sorted(
        t for t, v in values.items() if v is None
    )


def test_new_columns_and_changed_types_are_recorded(project: Project) -> None:
    """What is undeclared at the first load of a table is called so; what comes later is new. Types stay as they began."""
    source = project.declare(
        "grow", "tables:\n  rows: {description: a, files: '*.jsonl', format: jsonl, columns: {id: bigint}}\n"
    )
    project.drop("1.jsonl", '{"id": 1, "size": 3, "price": 1, "note": null}\n{"id": 2, "price": 1.5, "sold": true}\n')
    first = project.load(source)
    project.drop(
        "2.jsonl", '{"id": 3, "size": "XL", "newOne": {"a": 1}}\n{"id": 4, "size": 4}\n{"id": 5, "size": "M"}\n'
    )
    second = project.load(source)
    project.drop("3.jsonl", '{"id": 6, "size": "S", "newOne": 7}\n')
    third = project.load(source)
    assert (first.schema_changes, second.schema_changes, third.schema_changes) == (4, 2, 1)
    found = project.query(
        "select column_name, change, found_type, known_type, row_count from raw.raw_schema_change order by _cdp_sequence"
    )
    assert found == [
        ("note", "undeclared column", "VARCHAR", None, None),
        ("price", "undeclared column", "DOUBLE", None, None),
        ("size", "undeclared column", "BIGINT", None, None),
        ("sold", "undeclared column", "BOOLEAN", None, None),
        ("new_one", "new column", "VARCHAR", None, None),
        ("size", "type changed", "VARCHAR", "BIGINT", 2),
        ("size", "type changed", "VARCHAR", "BIGINT", 1),
    ]
    assert project.query("select id, size, size__v_text from raw.grow__rows order by id") == [
        (1, 3, None),
        (2, None, None),
        (3, None, "XL"),
        (4, 4, None),
        (5, None, "M"),
        (6, None, "S"),
    ]
    assert project.values("grow__rows", "new_one") == [None, None, '{"a":1}', None, None, "7"]


def test_tables_are_as_declared_before_the_first_row(project: Project) -> None:
    """Staging can be built before anything came, and a column that is declared later is there at the next run."""
    source = project.declare("typed", TYPES)
    project.load(source)
    before = project.query(
        "select column_name, data_type from duckdb_columns() where table_name = 'typed__rows' order by 1"
    )
    project.drop("a.jsonl", '{"id": 1, "data": {}}\n')
    project.load(source)
    after = project.query(
        "select column_name, data_type from duckdb_columns() where table_name = 'typed__rows' order by 1"
    )
    assert before == after
    wider = project.declare("typed", TYPES + "      later: bigint\n")
    assert project.load(wider).total == 0
    assert project.values("typed__rows", "later") == [None]


def test_a_type_that_is_declared_anew_is_given_to_what_was_landed(project: Project) -> None:
    """Also to a column that was undeclared so far; what did not fit before and does now comes back."""
    text = "tables:\n  rows: {description: a, files: '*.jsonl', format: jsonl, columns: {id: bigint, size: %s}}\n"
    project.drop(
        "1.jsonl", '{"id": 1, "size": 1.5, "more": 1}\n{"id": 2, "size": "XL", "more": "x"}\n{"id": 3, "size": 3}\n'
    )
    project.load(project.declare("grow", text % "double"))
    wider = text.replace("size: %s", "size: %s, more: bigint") % "text"
    project.drop("2.jsonl", '{"id": 4, "size": "M", "more": "2"}\n')
    project.load(project.declare("grow", wider))
    assert project.query("select id, size, size__v_text, more, more__v_text from raw.grow__rows order by id") == [
        (1, "1.5", None, 1, None),
        (2, "XL", None, None, "x"),
        (3, "3.0", None, None, None),
        (4, "M", None, 2, None),
    ]
    project.load(project.declare("grow", text % "bigint"))
    assert project.query("select id, size, size__v_text from raw.grow__rows order by id") == [
        (1, None, "1.5"),
        (2, None, "XL"),
        (3, 3, None),
        (4, None, "M"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ('code: {type: text, pattern: "[A-Z]{2}[0-9]+"}', 'code: {type: text, pattern: "(?=a)b"}'),
            'columns.code: (.|\n)*"\\(\\?=a\\)b" cannot be used',
        ),
        (('formats: ["%d.%m.%Y"]', 'formats: ["%d.%m.%Q"]'), 'columns.born: (.|\n)*"%d.%m.%Q" cannot be used'),
        (
            ("n: bigint", 'n: {type: bigint, formats: ["%d"]}'),
            "formats: only for text, timestamp and date, not for bigint",
        ),
        (("required: [id]", "required: [idd]"), '"idd" is not among columns; did you mean "id"'),
        (("word: text", "Word: text"), '"Word": write it in lower case'),
        (('files: "*.jsonl"', 'files: "../*.jsonl"'), "a path below the landing folder"),
        (("format: jsonl", "format: jsonl\n    encoding: utf-9"), 'unknown encoding "utf-9"'),
        (("format: jsonl", 'format: jsonl\n    delimiter: "::"'), "one character"),
        (("word: text", "word: string"), "'text', 'bigint'"),
    ],
)
def test_wrong_declarations_are_told(project: Project, change: tuple[str, str], message: str) -> None:
    text = f"name: typed\ndescription: a\nowner: b\nkind: file_drop\n{TYPES}".replace(*change)
    with pytest.raises(DeclarationError, match=message):
        parse(text, project.folder / "typed.yml", Source)
