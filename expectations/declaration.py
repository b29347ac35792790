"""What `expectations/<schema>/<table>.yml` may say."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from cdp.declarations import Declaration, suggest
from expectations.kinds import KINDS, UNEXPECTED_ROWS, ExpectationType, why_refused

NAME = r"^[a-z][a-z0-9_]*$"


class Expectation(Declaration):
    """One check: either a type of Great Expectations with its arguments, or a query that must find no row."""

    name: str | None = Field(
        None,
        pattern=NAME,
        description="Name of the check in its suite; made from column and type when absent, needed by unexpected_rows.",
    )
    expectation: ExpectationType | None = Field(None, description="Type of Great Expectations, in snake_case.")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="Arguments of the type.")
    unexpected_rows: str | None = Field(
        None,
        description="A DuckDB query that must find no row. `batch` is the suite's table, `$as_of` the run's now (UTC).",
    )
    severity: Literal["error", "warn"] = Field("error", description="What a failure is worth.")
    blocking: bool = Field(False, description="A failure keeps the models behind this table from running (error only).")
    why: str = Field(min_length=1, description="What goes wrong downstream when this does not hold.")
    fix: str = Field(min_length=1, description="What to do when it fails.")

    @field_validator("expectation", mode="before")
    @classmethod
    def _runs_in_duckdb(cls, value: Any) -> Any:
        reason = why_refused(value) if isinstance(value, str) else ""
        if reason:
            raise ValueError(f'a type that runs in DuckDB ({reason}); write "unexpected_rows:" with a query instead')
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Expectation:
        if (self.expectation is None) == (self.unexpected_rows is None):
            raise ValueError('exactly one of "expectation:" and "unexpected_rows:"')
        if self.unexpected_rows is not None and self.name is None:
            raise ValueError('"name:", which unexpected_rows needs')
        if self.unexpected_rows is not None and self.kwargs:
            raise ValueError('no "kwargs:" beside unexpected_rows; the query says everything')
        if self.blocking and self.severity != "error":
            raise ValueError('"severity: error" where "blocking: true"; a warning cannot block')
        return self

    @model_validator(mode="after")
    def _arguments_are_accepted(self) -> Expectation:
        if self.expectation is None:
            return self
        kind = KINDS[self.expectation]
        for argument in self.kwargs:
            if argument not in kind.arguments:
                accepted = ", ".join(kind.arguments) or "none"
                hint = suggest(argument, kind.arguments)
                raise ValueError(f'arguments of {self.expectation} ({accepted}), not "{argument}"; {hint}'.rstrip("; "))
        missing = [argument for argument in kind.needed if argument not in self.kwargs]
        if missing:
            raise ValueError(f'"{missing[0]}" among the kwargs of {self.expectation}')
        if "min_value" in kind.optional and not {"min_value", "max_value"} & set(self.kwargs):
            raise ValueError(f'"min_value" or "max_value" among the kwargs of {self.expectation}')
        for argument in (*kind.columns, *kind.column_lists):
            value, listed = self.kwargs[argument], argument in kind.column_lists
            names = value if listed else [value]
            if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
                raise ValueError(f"{argument}: {'a list of column names' if listed else 'the name of a column'}")
        if not re.fullmatch(NAME, self.slug):
            raise ValueError(f'"name:", for "{self.slug}" is no name of a check (letters a to z, digits, underscores)')
        return self

    @property
    def type(self) -> str:
        """Great Expectations' name of the type."""
        return self.expectation or UNEXPECTED_ROWS

    @property
    def column_names(self) -> list[tuple[str, str]]:
        """(argument, column) of every column that the arguments name."""
        if self.expectation is None:
            return []
        kind = KINDS[self.expectation]
        one = [(argument, self.kwargs[argument]) for argument in kind.columns]
        return one + [(argument, name) for argument in kind.column_lists for name in self.kwargs[argument]]

    @property
    def slug(self) -> str:
        """The check's name: its own, else the column and what is expected of it, e.g. `email_values_to_not_be_null`."""
        if self.name is not None:
            return self.name
        what = self.type.removeprefix("expect_").removeprefix("column_")
        columns = [str(self.kwargs[argument]) for argument in KINDS[self.type].columns]
        return "_".join([*columns, what]).lower().lstrip("_")


class SuiteFile(Declaration):
    """The checks of one table. The folder is the table's schema in the warehouse."""

    table: str = Field(pattern=NAME, description="Equals the file's name; in raw `<source>__<table>`.")
    owner: str = Field(min_length=1, description="Who is told when a check fails.")
    description: str = Field(min_length=1, description="What the suite guards.")
    expectations: list[Expectation] = Field(min_length=1)
