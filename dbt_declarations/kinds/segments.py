"""`dbt_project/segments/<name>.yml`: one segment a file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from cdp.declarations import Declaration
from dbt_declarations.kinds.base import Dated, Day, Expression, Name

Percent = Annotated[float, Field(strict=True, gt=0, le=100, allow_inf_nan=False)]
HOLDOUT = "holdout"


class Holdout(Declaration):
    """A share of the segment that is left out, so that its effect can be measured: they are `<segment>__holdout`."""

    percent: Percent
    key: Name | None = Field(None, description="Segments with the same key hold out the same persons; else the name.")


class Arm(Declaration):
    """A part of a split: the segment `<segment>__<arm>`."""

    arm: Name
    percent: Percent


class Limit(Declaration):
    """At most so many persons, those who come first in a declared order; equal ones in the order of person_id."""

    most: Annotated[int, Field(strict=True, ge=1)]
    order_by: Expression
    descending: bool = Field(True, description="The greatest first; nothing always comes last.")


class Accounts(Declaration):
    """Conditions over all people of a person's account, for buying centres: who is in is in with the whole account."""

    any: Expression | None = Field(None, description="True for at least one of the account's people.")
    all: Expression | None = Field(None, description="True for each of them.")
    none: Expression | None = Field(None, description="True for none of them.")

    @model_validator(mode="after")
    def _some_condition(self) -> Accounts:
        if self.any is None and self.all is None and self.none is None:
            raise ValueError("`any`, `all` or `none`, each a condition")
        return self


class Drift(Declaration):
    """How far the size may move; beyond it a check is red and what is sent stays as it was."""

    grows_at_most: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(None, description="Percent.")
    shrinks_at_most: Percent | None = Field(None, description="Percent.")
    may_be_empty: bool = Field(False, description="Whether nobody may be left in it.")
    within_days: Annotated[int, Field(strict=True, ge=1, le=366)] = Field(
        1, description="Compared with the size so many days before as_of."
    )
    accepted_on: Day | None = Field(None, description="Sizes from this day (UTC) on are right: nothing older compares.")


class Segment(Dated):
    """The persons for whom `where` or `include` is true and `exclude` is not."""

    where: Expression | None = None
    include: Expression | None = Field(None, description="Persons for whom this is true are in, whatever `where` says.")
    exclude: Expression | None = Field(None, description="Persons for whom this is true are left out, whatever else.")
    accounts: Accounts | None = None
    group: Name | None = Field(None, description="A person is only in the first segment of a group that fits.")
    priority: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        None, description="Order within the group; the least comes first."
    )
    limit: Limit | None = None
    holdout: Holdout | None = None
    split: list[Arm] | None = Field(None, min_length=2, description="Arms whose percentages add up to 100.")
    drift: Drift | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Segment:
        if self.where is None and self.accounts is None and self.include is None:
            raise ValueError("`where`, `accounts` or `include`: somebody has to be in it")
        if (self.group is None) != (self.priority is None):
            raise ValueError("`group` and `priority` together")
        if "__" in self.name:
            raise ValueError("a name without two underscores in a row: <segment>__<arm> names its parts")
        arms = [arm.arm for arm in self.split or []]
        if len(set(arms)) < len(arms) or HOLDOUT in arms:
            raise ValueError(f'each arm once, and none called "{HOLDOUT}"')
        if arms and abs(sum(arm.percent for arm in self.split or []) - 100) > 1e-9:
            raise ValueError("percentages of the arms that add up to 100")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the segments that holdout and split make."""
        named = [HOLDOUT] if self.holdout else []
        return tuple(f"{self.name}__{part}" for part in [*named, *(a.arm for a in self.split or [])])
