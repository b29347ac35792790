"""The types that a suite may use, compared with the installed Great Expectations and tried in DuckDB."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from expectations.kinds import KINDS, TYPES, why_refused
from expectations.runner import run_suites

from .conftest import Project

# For each type: arguments that hold for the table, and arguments that do not.
# The table: id 1..4, word a, bb, bb, null, low 1..4, high 2..5, minus -1..-4, nothing null.
TRIED: dict[str, tuple[dict, dict]] = {
    "expect_column_max_to_be_between": ({"column": "id", "max_value": 4}, {"max_value": 3}),
    "expect_column_mean_to_be_between": (
        {"column": "id", "min_value": 2.5, "max_value": 2.5},
        {"max_value": 2.6, "min_value": 2.6},
    ),
    "expect_column_median_to_be_between": ({"column": "id", "max_value": 2.5}, {"max_value": 2}),
    "expect_column_min_to_be_between": ({"column": "id", "min_value": 1}, {"min_value": 2}),
    "expect_column_pair_values_a_to_be_greater_than_b": ({"column_A": "high", "column_B": "low"}, {"column_A": "low"}),
    "expect_column_pair_values_to_be_equal": ({"column_A": "low", "column_B": "id"}, {"column_B": "high"}),
    "expect_column_proportion_of_non_null_values_to_be_between": (
        {"column": "word", "min_value": 0.75},
        {"min_value": 0.8},
    ),
    "expect_column_proportion_of_unique_values_to_be_between": (
        {"column": "word", "min_value": 0.6},
        {"min_value": 0.7},
    ),
    "expect_column_stdev_to_be_between": (
        {"column": "id", "min_value": 1, "max_value": 2},
        {"min_value": 2, "max_value": 3},
    ),
    "expect_column_sum_to_be_between": (
        {"column": "id", "min_value": 10, "max_value": 10},
        {"min_value": 11, "max_value": 12},
    ),
    "expect_column_to_exist": ({"column": "id"}, {"column": "nothing"}),
    "expect_column_unique_value_count_to_be_between": ({"column": "word", "max_value": 2}, {"max_value": 1}),
    "expect_column_value_lengths_to_be_between": ({"column": "word", "max_value": 2}, {"max_value": 1}),
    "expect_column_value_lengths_to_equal": ({"column": "word", "value": 2, "mostly": 0.6}, {"value": 1}),
    "expect_column_values_to_be_between": ({"column": "id", "min_value": 1, "max_value": 4}, {"max_value": 3}),
    "expect_column_values_to_be_in_set": ({"column": "word", "value_set": ["a", "bb"]}, {"value_set": ["bb"]}),
    "expect_column_values_to_be_null": ({"column": "nothing"}, {"column": "word"}),
    "expect_column_values_to_be_unique": ({"column": "id"}, {"column": "word"}),
    "expect_column_values_to_not_be_in_set": ({"column": "word", "value_set": ["z"]}, {"value_set": ["a"]}),
    "expect_column_values_to_not_be_null": ({"column": "id"}, {"column": "word"}),
    "expect_compound_columns_to_be_unique": ({"column_list": ["word", "id"]}, {"column_list": ["word", "one"]}),
    "expect_multicolumn_sum_to_equal": ({"column_list": ["high", "minus"], "sum_total": 1}, {"sum_total": 2}),
    "expect_select_column_values_to_be_unique_within_record": (
        {"column_list": ["high", "low"]},
        {"column_list": ["id", "low"]},
    ),
    "expect_table_column_count_to_be_between": ({"min_value": 7}, {"min_value": 8}),
    "expect_table_column_count_to_equal": ({"value": 7}, {"value": 5}),
    "expect_table_columns_to_match_ordered_list": (
        {"column_list": ["id", "word", "low", "high", "minus", "nothing", "one"]},
        {"column_list": ["word", "id", "low", "high", "minus", "nothing", "one"]},
    ),
    "expect_table_columns_to_match_set": ({"column_set": ["word", "id"], "exact_match": False}, {"exact_match": True}),
    "expect_table_row_count_to_be_between": ({"min_value": 4, "max_value": 4}, {"min_value": 5, "max_value": 5}),
    "expect_table_row_count_to_equal": ({"value": 4}, {"value": 3}),
    "expect_table_row_count_to_equal_other_table": ({"other_table_name": "other"}, {"other_table_name": "short"}),
}


def test_every_type_is_tried() -> None:
    assert sorted(TRIED) == sorted(KINDS) == sorted(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_arguments_are_those_of_the_installed_version(name: str) -> None:
    from great_expectations.expectations.registry import get_expectation_impl

    kind = KINDS[name]
    fields = get_expectation_impl(name).__fields__
    assert set(kind.arguments) <= set(fields), sorted(fields)
    needed = {argument for argument, field in fields.items() if field.required}
    assert needed <= set(kind.needed)


def test_every_core_type_is_accepted_or_refused_with_a_reason_or_known_to_be_left_out() -> None:
    """A new version that brings a type must not leave it unheard of."""
    import great_expectations.expectations.core as core

    shipped = {path.stem for path in Path(core.__path__[0]).glob("expect_*.py")}
    left_out = {
        "expect_column_bootstrapped_ks_test_p_value_to_be_greater_than",
        "expect_column_chisquare_test_p_value_to_be_greater_than",
        "expect_column_pair_cramers_phi_value_to_be_less_than",
        "expect_column_pair_values_to_be_in_set",
        "expect_column_parameterized_distribution_ks_test_p_value_to_be_greater_than",
        "expect_column_value_z_scores_to_be_less_than",
        "expect_column_values_to_be_decreasing",
        "expect_column_values_to_be_increasing",
        "expect_column_values_to_not_be_outliers",
        "expect_multicolumn_values_to_be_equal",
        "expect_multicolumn_values_to_be_unique",
    }
    unheard = {name for name in shipped - left_out if name not in KINDS and not why_refused(name)}
    assert unheard == set()


def test_every_type_passes_and_fails_in_duckdb(project: Project) -> None:
    project.file("dbt_project/models/scores/wide.sql", "select 1")
    project.warehouse(
        "create schema scores",
        """create table scores.wide as
        select i as id, case i when 1 then 'a' when 4 then null else 'bb' end as word, i as low, i + 1 as high,
          -i as minus, null::integer as nothing, 1 as one
        from range(1, 5) as n(i)""",
        "create table scores.other as from range(4)",
        "create table scores.short as from range(3)",
    )
    why = {"why": "w", "fix": "f"}
    checks = []
    for name, (holds, change) in TRIED.items():
        checks.append({"name": f"yes_{name}", "expectation": name, "kwargs": holds, **why})
        checks.append({"name": f"no_{name}", "expectation": name, "kwargs": holds | change, **why})
    checks = [c for c in checks if c["name"] != "no_expect_column_to_exist"]
    checks.append(
        {"name": "no_expect_column_to_exist", "expectation": "expect_column_to_exist", "kwargs": {"column": "x"}, **why}
    )
    suite = {"table": "wide", "owner": "o", "description": "d", "expectations": checks}
    project.file("expectations/scores/wide.yml", yaml.safe_dump(suite))
    found = {c.name: c for c in run_suites(["scores.wide"], project.settings, "2026-01-01")["scores.wide"]}
    could_not = [c for c in found.values() if "could not" in c.observed]
    assert could_not == []
    assert {name: check.passed for name, check in found.items()} == {
        c["name"]: c["name"].startswith("yes_") for c in checks
    }
