"""Suites run on a real DuckDB file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from cdp.errors import BusyError, ConfigurationError, DeclarationError
from expectations.results import CheckResult
from expectations.runner import run_suites

from .conftest import Project

TABLE = "raw.till__receipts"
AS_OF = "2026-01-08T00:00:00Z"
UNIQUE = "- expectation: expect_column_values_to_be_unique\n  kwargs: {column: receipt_no}"


def by_name(project: Project, *names: str, as_of: str = AS_OF) -> dict[str, CheckResult]:
    """The results of the suites by the name of the check."""
    found = run_suites(list(names) or [TABLE], project.settings, as_of)
    return {check.name: check for results in found.values() for check in results}


def test_counts_say_how_many_rows_are_wrong(receipts: Callable[[], Project]) -> None:
    project = receipts()
    project.suite(
        TABLE,
        UNIQUE + "\n  severity: warn\n  why: numbers are keys\n  fix: ask the shop\n"
        "- expectation: expect_column_values_to_not_be_null\n  kwargs: {column: email}\n  blocking: true\n"
        "- name: most_have_email\n  expectation: expect_column_values_to_not_be_null\n"
        "  kwargs: {column: email, mostly: 0.8}\n"
        "- expectation: expect_table_row_count_to_be_between\n  kwargs: {min_value: 11}\n"
        "- name: high\n  unexpected_rows: select 1 from batch where amount > 80\n",
    )
    found = by_name(project)
    repeated = found["receipt_no_values_to_be_unique"]
    assert repeated == CheckResult(
        suite=TABLE,
        name="receipt_no_values_to_be_unique",
        expectation="expect_column_values_to_be_unique",
        column="receipt_no",
        passed=False,
        severity="warn",
        blocking=False,
        observed="2 of 10 rows unexpected",
        unexpected_count=2,
        element_count=10,
        why="numbers are keys",
        fix="ask the shop",
    )
    empty = found["email_values_to_not_be_null"]
    assert (empty.passed, empty.severity, empty.blocking, empty.unexpected_count) == (False, "error", True, 2)
    assert found["most_have_email"].passed
    assert found["most_have_email"].unexpected_count == 2
    assert (found["table_row_count_to_be_between"].passed, found["table_row_count_to_be_between"].observed) == (
        False,
        "10",
    )
    assert (found["high"].passed, found["high"].unexpected_count, found["high"].observed) == (
        False,
        2,
        "2 unexpected rows",
    )


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("select 1 from batch where sold_at > $as_of", 2),
        ("select 1 from batch where sold_at > $as_of + interval 1 day", 1),
        ("select 1 from batch where regexp_full_match(email, '[^@[:space:]]+@[a-z]{7}[.]org')", 8),
        ("select 1 from batch where email like '%secret3@%'", 1),
        ("select 1 from batch where note like 'said: %' -- a comment with a colon :here", 10),
        ("select 1 from batch as a inner join batch as b on b.receipt_no = a.receipt_no and b.amount > a.amount", 1),
        ("with one as (select amount from batch) select * from one where amount < (select avg(amount) from one)", 5),
        ("select 1 from batch having count(*) < 5", 0),
        ("select receipt_no from batch group by receipt_no having count(*) > 1", 1),
    ],
)
def test_unexpected_rows_are_counted(receipts: Callable[[], Project], query: str, count: int) -> None:
    project = receipts()
    project.suite(TABLE, f"- name: q\n  unexpected_rows: >-\n    {query}")
    found = by_name(project)["q"]
    assert (found.unexpected_count, found.passed) == (count, count == 0), found.observed


def test_a_check_that_cannot_run_fails_with_its_reason_and_the_others_run(receipts: Callable[[], Project]) -> None:
    """The model's YAML promises columns that the table does not have, and one argument has a wrong type."""
    project = receipts()
    project.warehouse("create schema profiles", "create table profiles.person as select 'p' as person_id, 'x' as email")
    project.suite(
        "profiles.person",
        "- expectation: expect_column_values_to_not_be_null\n  kwargs: {column: seen_at}\n"
        "- name: late\n  unexpected_rows: select 1 from batch where seen_at > $as_of\n"
        "- expectation: expect_column_mean_to_be_between\n  kwargs: {column: email, min_value: 0}\n"
        "- expectation: expect_column_max_to_be_between\n  kwargs: {column: secret_number, max_value: much}\n"
        "- expectation: expect_column_values_to_be_unique\n  kwargs: {column: person_id}",
    )
    found = by_name(project, "profiles.person")
    assert [check.passed for check in found.values()] == [False, False, False, False, True]
    assert 'The column "seen_at" in BatchData does not exist' in found["seen_at_values_to_not_be_null"].observed
    assert 'Referenced column "seen_at" not found' in found["late"].observed
    assert "could not run: Binder Error" in found["email_mean_to_be_between"].observed
    assert "max_value" in found["secret_number_max_to_be_between"].observed


def test_a_missing_table_fails_every_check_and_says_so(receipts: Callable[[], Project]) -> None:
    project = receipts()
    project.suite(
        "profiles.person", "- name: a\n  unexpected_rows: from batch\n- name: b\n  unexpected_rows: from batch"
    )
    project.suite(TABLE, "- name: c\n  unexpected_rows: from batch where amount < 0")
    found = by_name(project, "profiles.person", TABLE)
    assert [(check.name, check.passed) for check in found.values()] == [("a", False), ("b", False), ("c", True)]
    assert "the table profiles.person is not in the warehouse; build its model first" in found["a"].observed
    assert (found["a"].unexpected_count, found["a"].element_count) == (None, None)


def test_an_empty_table_and_a_view_are_checked_like_any_other(project: Project) -> None:
    project.warehouse(
        "create schema profiles",
        "create view profiles.person as select 'p' as person_id, null::varchar as email limit 0",
    )
    project.suite(
        "profiles.person",
        "- expectation: expect_table_row_count_to_be_between\n  kwargs: {min_value: 1}\n"
        "- expectation: expect_column_values_to_be_unique\n  kwargs: {column: person_id}",
    )
    found = by_name(project, "profiles.person")
    assert [check.passed for check in found.values()] == [False, True]
    assert found["person_id_values_to_be_unique"].element_count == 0


PERSONAL = """
- expectation: expect_column_values_to_be_unique
  kwargs: {column: receipt_no}
- expectation: expect_column_values_to_be_null
  kwargs: {column: email}
- expectation: expect_column_values_to_be_in_set
  kwargs: {column: email, value_set: [nobody@example.org]}
- expectation: expect_column_value_lengths_to_equal
  kwargs: {column: note, value: 1}
- expectation: expect_column_max_to_be_between
  kwargs: {column: phone_number, max_value: 1}
- expectation: expect_column_min_to_be_between
  kwargs: {column: phone_number, max_value: 1}
- expectation: expect_column_median_to_be_between
  kwargs: {column: phone_number, max_value: 1}
- expectation: expect_column_sum_to_be_between
  kwargs: {column: phone_number, max_value: 1}
- expectation: expect_column_values_to_be_between
  kwargs: {column: phone_number, max_value: 1}
- expectation: expect_column_pair_values_to_be_equal
  kwargs: {column_A: email, column_B: note}
- expectation: expect_compound_columns_to_be_unique
  kwargs: {column_list: [note, receipt_no]}
- expectation: expect_column_pair_values_a_to_be_greater_than_b
  kwargs: {column_A: note, column_B: email}
- expectation: expect_column_mean_to_be_between
  kwargs: {column: email, min_value: 0}
- name: rows
  unexpected_rows: select * from batch
- name: conversion
  unexpected_rows: select 1 from batch where email::int > 0
- name: strict_error
  unexpected_rows: select error(email) from batch
"""


def test_no_value_of_a_row_leaves_the_warehouse(
    receipts: Callable[[], Project],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither into results nor into logs or output; and the values are not even fetched."""
    import expectations.duckdb_source as duckdb_source

    fetched: list[Any] = []

    class Spying(duckdb_source._Connection):
        def cursor(self) -> Any:
            cursor = super().cursor()

            class Cursor:
                def __getattr__(self, name: str) -> Any:
                    found = getattr(cursor, name)
                    if not name.startswith("fetch"):
                        return found

                    def fetch(*args: Any) -> Any:
                        rows = found(*args)
                        fetched.append(rows)
                        return rows

                    return fetch

            return Cursor()

    monkeypatch.setattr(duckdb_source, "_Connection", Spying)
    caplog.set_level(logging.DEBUG)
    project = receipts()
    project.suite(TABLE, PERSONAL)
    found = by_name(project)
    assert fetched, "the spy saw nothing"
    assert [name for name, check in found.items() if check.passed] == ["compound_columns_to_be_unique"]
    for place, text in {
        "results": repr(found),
        "logs": "\n".join(record.getMessage() + (record.exc_text or "") for record in caplog.records),
        "output": "".join(capfd.readouterr()),
        "fetched e-mails": repr([rows for rows in fetched if "secret" in repr(rows)]),
    }.items():
        assert "secret" not in text, place
        assert "86139000000" not in text, place
    assert [record.name for record in caplog.records if record.name.startswith("great_expectations")] == []
    assert "ConversionException (its text may quote data" in found["conversion"].observed
    assert found["phone_number_max_to_be_between"].observed == "the value is not shown"
    assert found["rows"].unexpected_count == 10


def test_numbers_and_times_of_other_columns_are_shown(receipts: Callable[[], Project]) -> None:
    project = receipts()
    project.suite(
        TABLE,
        "- expectation: expect_column_max_to_be_between\n  kwargs: {column: amount, max_value: 1}\n"
        "- name: newest\n  expectation: expect_column_max_to_be_between\n"
        "  kwargs: {column: sold_at, max_value: 2026-01-02T00:00:00Z}\n"
        "- expectation: expect_column_unique_value_count_to_be_between\n  kwargs: {column: email, max_value: 1}\n",
    )
    found = by_name(project)
    assert found["amount_max_to_be_between"].observed == "94.5"
    assert found["newest"].observed.startswith("2026-01-10 00:00:00")
    assert found["email_unique_value_count_to_be_between"].observed == "8"
    assert not any(check.passed for check in found.values())


def test_results_keep_the_asked_order_and_repeat_exactly(receipts: Callable[[], Project]) -> None:
    project = receipts()
    project.warehouse("create schema profiles", "create table profiles.person as select 'p' as person_id, 'x' as email")
    checks = [f"c{n}" for n in (3, 1, 2, 9, 5)]
    project.suite(
        TABLE, "".join(f"- name: {c}\n  unexpected_rows: from batch where amount > {c[1]}0\n" for c in checks)
    )
    project.suite("profiles.person", UNIQUE.replace("receipt_no", "person_id"))
    names = ["profiles.person", TABLE, "profiles.person"]
    first = run_suites(names, project.settings, AS_OF)
    assert list(first) == names[:2]
    assert [check.name for check in first[TABLE]] == checks
    assert run_suites(names, project.settings, AS_OF) == first
    assert run_suites([TABLE], project.settings, AS_OF)[TABLE] == first[TABLE]


def test_the_warehouse_is_unchanged_and_free_afterwards(receipts: Callable[[], Project]) -> None:
    project = receipts()
    project.suite(TABLE, UNIQUE)
    path = project.settings.warehouse_path
    before = path.read_bytes()
    by_name(project)
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["warehouse.duckdb"]
    assert {p.name for p in project.root.iterdir()} == {"data", "dbt_project", "expectations", "ingest"}
    project.warehouse("create table raw.later as select 1")


def test_a_writer_in_this_process_is_named(receipts: Callable[[], Project]) -> None:
    project = receipts()
    project.suite(TABLE, UNIQUE)
    with duckdb.connect(str(project.settings.warehouse_path)), pytest.raises(BusyError, match="open for writing"):
        by_name(project)


def test_wrong_calls_say_what_is_wrong(project: Project) -> None:
    project.suite(TABLE, UNIQUE)
    with pytest.raises(ConfigurationError, match="does not exist yet"):
        by_name(project)
    with pytest.raises(DeclarationError, match=r'did you mean "raw.till__receipts"'):
        by_name(project, "raw.till__receipt")
    with pytest.raises(DeclarationError, match='"yesterday" is no time'):
        by_name(project, as_of="yesterday")
    assert run_suites([], project.settings, AS_OF) == {}
