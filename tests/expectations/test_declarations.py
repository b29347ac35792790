"""What a suite may say, and what is answered to what it may not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cdp.errors import DeclarationError
from cdp.settings import PROJECT_ROOT
from expectations.runner import suites

from .conftest import Project

BETWEEN = "expectation: expect_column_values_to_be_between"
WRONG = {
    "unknown type": (
        "- expectation: expect_column_values_to_be_uniqe\n  kwargs: {column: email}",
        [":5:", 'did you mean "expect_column_values_to_be_unique"?'],
    ),
    "regex": (
        "- expectation: expect_column_values_to_match_regex\n  kwargs: {column: email, regex: '@'}",
        [":5:", "no regular expressions for DuckDB", '"unexpected_rows:"'],
    ),
    "unknown argument": (
        f"- {BETWEEN}\n  kwargs: {{column: amount, min_valu: 1}}",
        ['not "min_valu"', 'did you mean "min_value"?'],
    ),
    "missing argument": (
        "- expectation: expect_column_values_to_be_in_set\n  kwargs: {column: note}",
        ['"value_set" among the kwargs of expect_column_values_to_be_in_set'],
    ),
    "no bound": (f"- {BETWEEN}\n  kwargs: {{column: amount}}", ['"min_value" or "max_value"']),
    "unknown column": (
        "- expectation: expect_column_values_to_be_unique\n  kwargs: {column: emial}",
        [":6:", 'no column "emial"', 'did you mean "email"?', "receipt_no, email"],
    ),
    "unknown column in a list": (
        "- expectation: expect_compound_columns_to_be_unique\n  kwargs: {column_list: [receipt_no, lin]}",
        [":6:", 'no column "lin"'],
    ),
    "column is no name": (
        "- expectation: expect_column_values_to_be_unique\n  kwargs: {column: [email]}",
        ["the name of a column"],
    ),
    "both forms": (
        "- name: a\n  expectation: expect_table_row_count_to_equal\n  unexpected_rows: select 1 from batch",
        ['exactly one of "expectation:" and "unexpected_rows:"'],
    ),
    "neither form": ("- name: a", ['exactly one of "expectation:" and "unexpected_rows:"']),
    "query without name": ("- unexpected_rows: select 1 from batch", ['"name:", which unexpected_rows needs']),
    "blocking warning": (
        "- name: a\n  unexpected_rows: select 1 from batch\n  severity: warn\n  blocking: true",
        ["a warning cannot block"],
    ),
    "severity": (
        "- name: a\n  unexpected_rows: select 1 from batch\n  severity: warning",
        [":7:", "'error' or 'warn'", 'did you mean "warn"?'],
    ),
    "unknown key": (
        "- name: a\n  unexpected_rows: select 1 from batch\n  serverity: warn",
        [":7:", "unknown key", 'did you mean "severity"?'],
    ),
    "why is missing": ("- name: a\n  unexpected_rows: select 1 from batch\n  why:\n", [":7:", "why"]),
    "same name twice": (
        "- name: a\n  unexpected_rows: select 1 from batch\n- name: a\n  unexpected_rows: select 2 from batch",
        [":9:", 'is named "a" like expectations.0', 'add "name:"'],
    ),
    "same check twice": (
        "- expectation: expect_column_values_to_be_unique\n  kwargs: {column: email}\n"
        "- expectation: expect_column_values_to_be_unique\n  kwargs: {column: email, mostly: 0.9}",
        ["email_values_to_be_unique", 'add "name:"'],
    ),
    "unknown column in a query": (
        "- name: a\n  unexpected_rows: select 1 from batch where amuont > 1",
        [":6:", "amuont", 'did you mean "amount"?'],
    ),
    "query that writes": ("- name: a\n  unexpected_rows: delete from batch", [":6:", "one select"]),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_wrong_suite_names_place_and_remedy(project: Project, case: str) -> None:
    written, said = WRONG[case]
    project.suite("raw.till__receipts", written)
    with pytest.raises(DeclarationError) as caught:
        suites(project.settings)
    text = caught.value.render()
    assert "till__receipts.yml" in text
    for part in said:
        assert part in text, text


@pytest.mark.parametrize(
    ("path", "table", "said"),
    [
        ("expectations/raw/till__receipts.yml", "receipts", '"till__receipts", the name of its file'),
        ("expectations/raw/till__receipt.yml", "till__receipt", 'did you mean "till__receipts"?'),
        ("expectations/profiles/persn.yml", "persn", 'did you mean "person"?'),
        ("expectations/profile/person.yml", "person", 'did you mean "profiles"?'),
    ],
)
def test_wrong_place_of_a_suite(project: Project, path: str, table: str, said: str) -> None:
    check = "  - {name: a, unexpected_rows: select 1 from batch, why: w, fix: f}"
    project.file(path, f"table: {table}\nowner: o\ndescription: d\nexpectations:\n{check}\n")
    with pytest.raises(DeclarationError) as caught:
        suites(project.settings)
    assert said in caught.value.render()


def test_everything_wrong_is_said_at_once(project: Project) -> None:
    project.suite("raw.till__receipts", "- name: a\n  unexpected_rows: select nothing from batch")
    project.suite("profiles.person", "- expectation: expect_column_to_exist\n  kwargs: {column: nobody}")
    with pytest.raises(DeclarationError) as caught:
        suites(project.settings)
    assert len(caught.value.errors) == 2
    assert "till__receipts.yml" in str(caught.value) and "person.yml" in str(caught.value)


def test_suites_stand_in_the_order_of_schema_and_table_and_checks_in_that_of_the_file(project: Project) -> None:
    project.suite(
        "profiles.person", "- name: z\n  unexpected_rows: select 1 from batch\n- name: a\n  unexpected_rows: from batch"
    )
    project.suite("profiles.loose", "- expectation: expect_column_to_exist\n  kwargs: {column: not_in_the_yaml}")
    project.suite("raw.till__receipts", "- expectation: expect_column_to_exist\n  kwargs: {column: _cdp_sequence}")
    found = suites(project.settings)
    assert [suite.name for suite in found] == ["raw.till__receipts", "profiles.loose", "profiles.person"]
    assert [check.name for check in found[2].checks] == ["z", "a"]
    assert [check.name for check in found[0].checks] == ["cdp_sequence_to_exist"]


def test_suites_of_inactive_sources_are_checked_but_not_run(project: Project) -> None:
    project.suite("raw.asleep__receipts", "- expectation: expect_column_to_exist\n  kwargs: {column: email}")
    assert suites(project.settings) == []
    awake = project.settings.model_copy(update={"sources": "asleep"})
    assert [suite.name for suite in suites(awake)] == ["raw.asleep__receipts"]
    project.suite("raw.asleep__receipts", "- expectation: expect_column_to_exist\n  kwargs: {column: emial}")
    with pytest.raises(DeclarationError, match="emial"):
        suites(project.settings)


def test_no_suites_is_no_error(project: Project) -> None:
    assert suites(project.settings) == []


def test_reading_suites_imports_neither_great_expectations_nor_pandas() -> None:
    program = (
        "import sys; from cdp.settings import get_settings; from expectations.runner import suites;"
        "n = len(suites(get_settings()));"
        "print(n, sorted({'great_expectations', 'pandas', 'dlt', 'dbt'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    count, imported = run.stdout.split(" ", 1)
    assert int(count) > 20
    assert imported.strip() == "[]"
