"""What every declaration has in common, and the defaults of all of them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from cdp.declarations import Declaration
from cdp.sources import PiiClass

TEMPLATE_MARKS = ("{{", "}}", "{%", "%}", "{#", "#}")


def _no_template(value: object) -> object:
    """Text of declarations is written into files that dbt renders: a template in it would run."""
    if isinstance(value, str) and any(mark in value for mark in TEMPLATE_MARKS):
        raise ValueError("text without template marks ({{ }}, {% %}, {# #}): it is data, not a template")
    return value


def _expression(value: object) -> object:
    """YAML reads `when: true` as a boolean and `value: 1` as a number; both are expressions too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else _no_template(value)


def _plain_date(value: object) -> object:
    if isinstance(value, str | date):
        return value
    raise ValueError("a date such as 2026-01-31")


Name = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$"),
    Field(description="Lower-case letters, digits and underscores, 48 at most; the name of the file without .yml."),
]
PlainText = Annotated[str, BeforeValidator(_no_template), StringConstraints(min_length=1, strip_whitespace=True)]
Expression = Annotated[
    str,
    BeforeValidator(_expression),
    StringConstraints(min_length=1, max_length=20_000),
    Field(description="An SQL expression over columns; see docs/declarations.md for what it may use."),
]
Day = Annotated[date, BeforeValidator(_plain_date)]
Days = Annotated[int, Field(strict=True, ge=1, le=36500, description="Whole days.")]
Hours = Annotated[int, Field(strict=True, ge=1, le=24 * 36500, description="Whole hours.")]
Sessions = Annotated[int, Field(strict=True, ge=1, le=1000, description="Sessions of the person, the latest first.")]
FactTable = Literal["event", "order", "lead", "stage_change"]


class Described(Declaration):
    """A declaration with an owner: somebody answers for it, and a reader learns what it means."""

    name: Name
    owner: PlainText = Field(description="Team or person who answers for this declaration.")
    description: PlainText = Field(description="What it means, for the people who use it.")


class Dated(Described):
    """A declaration that may hold for a time only."""

    since: Day | None = Field(None, description="First day (UTC) on which it holds; before it, it is empty.")
    expires: Day | None = Field(None, description="First day (UTC) on which it no longer holds.")
    refresh: Literal["every_run", "daily", "weekly", "monthly"] = Field(
        "every_run", description="How fresh readers may expect it to be; published in the catalogue."
    )
    pii: PiiClass | None = Field(
        None, description="Class of personal data that the value is; when missing, that of the columns it reads."
    )
    pii_reason: PlainText | None = Field(
        None, description="Why the value is not personal data (`pii: none`) although it is made from some."
    )

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Dated:
        if self.since and self.expires and self.expires <= self.since:
            raise ValueError("expires: a day after since")
        return self


class Defaults(Declaration):
    """`dbt_project/defaults.yml`: who is left out of every tag, score and segment."""

    owner: PlainText
    description: PlainText
    exclude: Expression = Field(description="Persons for whom this is true get no tag, score or segment.")
