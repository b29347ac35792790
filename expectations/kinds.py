"""The expectation types that a suite may use: the core ones of Great Expectations that run inside DuckDB.

Kept as a list of our own because importing Great Expectations takes 7 s and reading the suites must not. A test
compares it with the installed version: every type exists there, and its arguments are the ones named here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ExpectationType = Literal[
    "expect_column_max_to_be_between",
    "expect_column_mean_to_be_between",
    "expect_column_median_to_be_between",
    "expect_column_min_to_be_between",
    "expect_column_pair_values_a_to_be_greater_than_b",
    "expect_column_pair_values_to_be_equal",
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_stdev_to_be_between",
    "expect_column_sum_to_be_between",
    "expect_column_to_exist",
    "expect_column_unique_value_count_to_be_between",
    "expect_column_value_lengths_to_be_between",
    "expect_column_value_lengths_to_equal",
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_null",
    "expect_column_values_to_be_unique",
    "expect_column_values_to_not_be_in_set",
    "expect_column_values_to_not_be_null",
    "expect_compound_columns_to_be_unique",
    "expect_multicolumn_sum_to_equal",
    "expect_select_column_values_to_be_unique_within_record",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_ordered_list",
    "expect_table_columns_to_match_set",
    "expect_table_row_count_to_be_between",
    "expect_table_row_count_to_equal",
    "expect_table_row_count_to_equal_other_table",
]
UNEXPECTED_ROWS = "unexpected_rows_expectation"

# What Great Expectations has but cannot do inside DuckDB, by the words in the type's name, and the way around it.
_REFUSED = {
    "regex": "Great Expectations has no regular expressions for DuckDB",
    "like_pattern": "Great Expectations has no LIKE for DuckDB",
    "quantile": "its result cannot be written for DuckDB",
    "json": "Great Expectations does this in pandas only",
    "strftime": "Great Expectations does this in pandas only",
    "dateutil": "Great Expectations does this in pandas only",
    "_type": "Great Expectations does not know DuckDB's types",
    "most_common": "it takes values of rows out of the warehouse",
    "distinct_values": "it takes values of rows out of the warehouse",
    "kl_divergence": "it takes values of rows out of the warehouse",
    "unexpected_rows": "it is written with a key of its own",
    "query_results": "it is written as a query",
}


@dataclass(frozen=True)
class Kind:
    """The arguments of an expectation type. `columns` hold the name of one column, `column_lists` a list of names."""

    columns: tuple[str, ...] = ()
    column_lists: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    reveals_value: bool = False  # what it observes is taken from rows, not counted over them

    @property
    def arguments(self) -> list[str]:
        """Every accepted argument, the needed ones first."""
        return [*self.columns, *self.column_lists, *self.required, *self.optional]

    @property
    def needed(self) -> list[str]:
        """The arguments that must be written."""
        return [*self.columns, *self.column_lists, *self.required]


_BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")
_PAIR = ("column_A", "column_B")
_IGNORE = ("ignore_row_if", "mostly")


def _aggregate(*, reveals_value: bool = False) -> Kind:
    return Kind(columns=("column",), optional=_BOUNDS, reveals_value=reveals_value)


KINDS: dict[str, Kind] = {
    "expect_column_max_to_be_between": _aggregate(reveals_value=True),
    "expect_column_mean_to_be_between": _aggregate(reveals_value=True),
    "expect_column_median_to_be_between": _aggregate(reveals_value=True),
    "expect_column_min_to_be_between": _aggregate(reveals_value=True),
    "expect_column_pair_values_a_to_be_greater_than_b": Kind(_PAIR, optional=("or_equal", *_IGNORE)),
    "expect_column_pair_values_to_be_equal": Kind(_PAIR, optional=_IGNORE),
    "expect_column_proportion_of_non_null_values_to_be_between": _aggregate(),
    "expect_column_proportion_of_unique_values_to_be_between": _aggregate(),
    "expect_column_stdev_to_be_between": _aggregate(reveals_value=True),
    "expect_column_sum_to_be_between": _aggregate(reveals_value=True),
    "expect_column_to_exist": Kind(("column",)),
    "expect_column_unique_value_count_to_be_between": _aggregate(),
    "expect_column_value_lengths_to_be_between": Kind(("column",), optional=(*_BOUNDS, "mostly")),
    "expect_column_value_lengths_to_equal": Kind(("column",), required=("value",), optional=("mostly",)),
    "expect_column_values_to_be_between": Kind(("column",), optional=(*_BOUNDS, "mostly")),
    "expect_column_values_to_be_in_set": Kind(("column",), required=("value_set",), optional=("mostly",)),
    "expect_column_values_to_be_null": Kind(("column",), optional=("mostly",)),
    "expect_column_values_to_be_unique": Kind(("column",), optional=("mostly",)),
    "expect_column_values_to_not_be_in_set": Kind(("column",), required=("value_set",), optional=("mostly",)),
    "expect_column_values_to_not_be_null": Kind(("column",), optional=("mostly",)),
    "expect_compound_columns_to_be_unique": Kind(column_lists=("column_list",), optional=_IGNORE),
    "expect_multicolumn_sum_to_equal": Kind(column_lists=("column_list",), required=("sum_total",), optional=_IGNORE),
    "expect_select_column_values_to_be_unique_within_record": Kind(column_lists=("column_list",), optional=_IGNORE),
    "expect_table_column_count_to_be_between": Kind(optional=("min_value", "max_value")),
    "expect_table_column_count_to_equal": Kind(required=("value",)),
    "expect_table_columns_to_match_ordered_list": Kind(column_lists=("column_list",)),
    "expect_table_columns_to_match_set": Kind(column_lists=("column_set",), optional=("exact_match",)),
    "expect_table_row_count_to_be_between": Kind(optional=_BOUNDS),
    "expect_table_row_count_to_equal": Kind(required=("value",)),
    "expect_table_row_count_to_equal_other_table": Kind(required=("other_table_name",)),
}
TYPES: list[str] = list(get_args(ExpectationType))


def why_refused(expectation: str) -> str:
    """Why a type that Great Expectations may have cannot be used here; empty when nothing is known against it."""
    if expectation in KINDS:
        return ""
    return next((reason for word, reason in _REFUSED.items() if word in expectation), "")
