"""Declared comparisons as Splink's. Source of the outcomes: splink.comparison_library of Splink 5.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from cdp.identity.matching_model import Comparison, Date, Email, Exact, PersonNames, Text

_Metric = Literal["day", "month", "year"]


def splink_comparison(comparison: Comparison, full_column: str, trained: list[dict[str, Any]] | None) -> Any:
    """Splink's comparison; with `trained` (one entry an outcome, the nearest first) its m and u are those and stay so.

    `full_column` holds first and last name in one, for the frequencies of whole names.
    """
    made = _MAKERS[type(comparison)](comparison, full_column)
    options: dict[str, Any] = {}
    if isinstance(comparison, Exact | Text):
        options["term_frequency_adjustments"] = comparison.term_frequency
    if trained:
        options["m_probabilities"] = [level["m"] for level in trained]
        options["u_probabilities"] = [level["u"] for level in trained]
    return made.configure(**options)


def _exact(comparison: Exact, _: str) -> Any:
    import splink.comparison_library as library

    return library.ExactMatch(comparison.column)


def _text(comparison: Text, _: str) -> Any:
    import splink.comparison_library as library

    kinds = {
        "jaro_winkler": library.JaroWinklerAtThresholds,
        "jaro": library.JaroAtThresholds,
        "jaccard": library.JaccardAtThresholds,
        "levenshtein": library.LevenshteinAtThresholds,
        "damerau_levenshtein": library.DamerauLevenshteinAtThresholds,
    }
    steps = [int(s) for s in comparison.at] if comparison.similarity.endswith("levenshtein") else comparison.at
    return kinds[comparison.similarity](comparison.column, steps)


def _names(comparison: PersonNames, full_column: str) -> Any:
    import splink.comparison_library as library

    return library.ForenameSurnameComparison(
        comparison.first_name,
        comparison.last_name,
        jaro_winkler_thresholds=comparison.at,
        forename_surname_concat_col_name=full_column,
    )


def _email(comparison: Email, _: str) -> Any:
    import splink.comparison_library as library

    return library.EmailComparison(comparison.column)


def _date(comparison: Date, _: str) -> Any:
    import splink.comparison_library as library

    spans = [span.split() for span in comparison.within]
    return library.DateOfBirthComparison(
        comparison.column,
        input_is_string=True,
        datetime_thresholds=[int(number) for number, _ in spans],
        datetime_metrics=[cast(_Metric, unit.removesuffix("s")) for _, unit in spans],
    )


_MAKERS: dict[type[Any], Callable[[Any, str], Any]] = {
    Exact: _exact,
    Text: _text,
    PersonNames: _names,
    Email: _email,
    Date: _date,
}
