"""What a check found, in words and counts that hold no value of a row.

Great Expectations returns samples, extreme values and exception texts that may quote e-mail addresses or phone numbers.
Only what is counted over rows gets through, and numbers and times of columns that hold no personal data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from expectations.kinds import KINDS, UNEXPECTED_ROWS
from expectations.suites import Check, Suite

# Texts of these say which name or syntax is wrong; those of others, such as a failed conversion, quote data.
_SAFE_ERROR = re.compile(
    r"(?:Binder|Catalog|Parser|Syntax) Error: [^\n]*|The column \"[^\"\n]*\" in BatchData does not exist"
    r"|can't compare offset-naive and offset-aware datetimes"
)
_ERROR_CLASS = re.compile(r"\((?:_duckdb|duckdb|builtins)\.(\w+)\)")


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    `observed` says in words what was found, or why the check could not run. `unexpected_count` and `element_count` are
    rows; None where the type of check does not count them.
    """

    suite: str
    name: str
    expectation: str
    column: str | None
    passed: bool
    severity: Literal["error", "warn"]
    blocking: bool
    observed: str
    unexpected_count: int | None
    element_count: int | None
    why: str
    fix: str


def result(
    suite: Suite,
    check: Check,
    *,
    passed: bool,
    observed: str,
    unexpected: int | None = None,
    elements: int | None = None,
) -> CheckResult:
    """The result of a check."""
    return CheckResult(
        suite=suite.name,
        name=check.name,
        expectation=check.expectation,
        column=check.column,
        passed=passed,
        severity=check.severity,
        blocking=check.blocking,
        observed=observed,
        unexpected_count=unexpected,
        element_count=elements,
        why=check.why,
        fix=check.fix,
    )


def from_validation(suite: Suite, check: Check, success: bool, found: dict[str, Any], errors: list[str]) -> CheckResult:
    """The result of what Great Expectations returned: its `result` and the texts of its exceptions."""
    if errors:
        return result(suite, check, passed=False, observed=f"the check could not run: {reason(errors[0])}")
    unexpected, elements = _count(found.get("unexpected_count")), _count(found.get("element_count"))
    if check.expectation == UNEXPECTED_ROWS:
        unexpected = _count(found.get("observed_value"))
        observed = f"{unexpected} unexpected rows" if unexpected != 1 else "1 unexpected row"
    elif unexpected is not None and elements is not None:
        observed = f"{unexpected} of {elements} rows unexpected"
    else:
        observed = _shown(check, found, success)
    return result(suite, check, passed=success, observed=observed, unexpected=unexpected, elements=elements)


def reason(text: str) -> str:
    """Why a check could not run, without the parts of the text that may quote data."""
    safe = _SAFE_ERROR.search(text)
    if safe:
        return safe.group(0)
    named = _ERROR_CLASS.search(text)
    kind = named.group(1) if named else "an error of Great Expectations"
    return f"{kind} (its text may quote data and is left out; run the check's query by hand to see it)"


def _shown(check: Check, found: dict[str, Any], success: bool) -> str:
    value = found.get("observed_value")
    hidden = KINDS[check.expectation].reveals_value and check.reveals_pii
    if check.expectation.startswith("expect_table_columns"):
        return "columns: " + ", ".join(str(name) for name in value or [])
    if check.expectation == "expect_table_row_count_to_equal_other_table" and isinstance(value, dict):
        return f"{value.get('self')} rows, {value.get('other')} in the other table"
    if isinstance(value, bool | int | float | Decimal) and not hidden:
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, datetime) and not hidden and (check.column or "").endswith("_at"):
        return value.isoformat(sep=" ")
    if check.expectation == "expect_column_to_exist":
        return "the column exists" if success else "the column does not exist"
    return "the value is not shown" if value is not None else "no value"


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
