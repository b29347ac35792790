"""`dbt_project/tags/<name>.yml`: one tag a file."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, RootModel, model_validator

from cdp.declarations import Declaration
from dbt_declarations.kinds.base import Dated, Days, Expression, FactTable, Hours, Name, PlainText, Sessions

ValueType = Literal["boolean", "number", "text", "date", "list"]
Aggregate = Literal[
    "count",
    "count_distinct",
    "sum",
    "avg",
    "min",
    "max",
    "first",
    "last",
    "most_frequent",
    "days_since",
    "collect",
]
# These count or date whole facts; every other aggregate needs `of`.
WITHOUT_OF = ("count", "days_since")
# A person without a fact has 0 of these, not nothing.
ZERO_BY_DEFAULT = ("count", "count_distinct", "sum")


class TagBase(Dated):
    """What every tag has."""

    history: Literal["values", "assignments", "none"] | None = Field(
        None,
        description="What tag_history keeps: each value, only that there was one, or nothing. Without it: values, of "
        "numbers assignments.",
    )


class AttributeTag(TagBase):
    """The value comes straight from the profile."""

    type: Literal["attribute"]
    value: Expression
    value_type: ValueType | None = Field(None, description="Checked against the type of the expression.")


class StatisticalTag(TagBase):
    """The value is an aggregate over the facts of a person."""

    type: Literal["statistical"]
    over: FactTable = Field(description="The facts: event, order, lead or stage_change.")
    aggregate: Aggregate
    of: Expression | None = Field(None, description="What is aggregated; not for count and days_since.")
    where: Expression | None = Field(None, description="Which facts count; all when it is missing.")
    window_days: Days | None = Field(None, description="Only facts of the last so many days before as_of.")
    window_hours: Hours | None = Field(None, description="Only facts of the last so many hours before as_of.")
    window_sessions: Sessions | None = Field(
        None, description="Only facts since the person's last so many sessions began; all of somebody with fewer."
    )
    value_type: ValueType | None = Field(None, description="Checked against the type of the aggregate.")

    @model_validator(mode="after")
    def _of_where_needed(self) -> StatisticalTag:
        if sum(w is not None for w in (self.window_days, self.window_hours, self.window_sessions)) > 1:
            raise ValueError("one of window_days, window_hours and window_sessions")
        if self.aggregate in WITHOUT_OF and self.of is not None:
            raise ValueError(f"no `of` with aggregate: {self.aggregate}, which looks at whole facts")
        if self.aggregate not in WITHOUT_OF and self.of is None:
            raise ValueError(f"`of: <expression>` with aggregate: {self.aggregate}")
        return self


class Case(Declaration):
    """One value of an exclusive list; the first case whose `when` is true gives the value."""

    value: PlainText
    when: Expression


class RuleTag(TagBase):
    """True or false by a condition (`when`), or one of several values, the first that holds (`cases`)."""

    type: Literal["rule"]
    when: Expression | None = None
    cases: list[Case] | None = Field(None, min_length=1)
    otherwise: PlainText | None = Field(None, description="The value when no case holds; nothing when missing.")
    group: Name | None = Field(None, description="At most one tag of a group is true for a person.")
    priority: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        None, description="Order within the group; the least wins."
    )
    value_type: Literal["boolean", "text"] | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> RuleTag:
        if (self.when is None) == (self.cases is None):
            raise ValueError("either `when` (true or false) or `cases` (one of several values)")
        if self.otherwise is not None and self.cases is None:
            raise ValueError("`otherwise` only together with `cases`")
        if (self.group is None) != (self.priority is None):
            raise ValueError("`group` and `priority` together")
        if self.group is not None and self.cases is not None:
            raise ValueError("`group` only with `when`: cases exclude each other already")
        if self.value_type is not None and (self.value_type == "boolean") != (self.cases is None):
            raise ValueError("value_type boolean with `when`, text with `cases`")
        values = [case.value for case in self.cases or []]
        if len(set(values)) < len(values):
            raise ValueError("each value in one case; join the conditions with `or`")
        return self


class Band(Declaration):
    """A named range of what a model says: from `at_least` up to the band above."""

    value: PlainText
    at_least: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None, description="Only the last band may be without one: it takes the rest."
    )


class MinedTag(TagBase):
    """The value is what a predictive model says (scores/models/<model>.yml): the number, or the band it falls into."""

    type: Literal["mined"]
    model: Name = Field(description="A predictive model; one of accounts speaks of all people of the account.")
    output: Literal["probability", "decile", "expected_orders", "expected_value"] = "probability"
    bands: list[Band] | None = Field(None, min_length=1, description="From the highest down; without them the number.")
    value_type: Literal["number", "text"] | None = None

    @model_validator(mode="after")
    def _falling(self) -> MinedTag:
        bands = self.bands or []
        limits = [band.at_least for band in bands]
        if None in limits[:-1] or any(upper <= lower for upper, lower in pairwise(x for x in limits if x is not None)):
            raise ValueError("bands: at_least falling from band to band, in every band but perhaps the last")
        if len({band.value for band in bands}) < len(bands):
            raise ValueError("each band once")
        if self.value_type is not None and (self.value_type == "text") != bool(bands):
            raise ValueError("value_type text with `bands`, number without")
        return self


class ManualTag(TagBase):
    """People set the value: in seeds/tags/manual_tags.csv, by `cdp tag set`, or as a tag of WeCom; the latest word counts."""

    type: Literal["manual"]
    value_type: ValueType
    allowed_values: list[PlainText] | None = Field(None, min_length=1, description="Any value when missing.")
    wecom: dict[PlainText, PlainText] | None = Field(
        None, min_length=1, description="Value by name of a tag in the corporation's WeCom tag library (`group/tag`)."
    )

    @model_validator(mode="after")
    def _values_allowed(self) -> ManualTag:
        strange = (
            sorted(set((self.wecom or {}).values()) - set(self.allowed_values or [])) if self.allowed_values else []
        )
        if strange:
            raise ValueError(f"wecom: values of allowed_values; not among them: {', '.join(strange)}")
        return self


Tag = AttributeTag | StatisticalTag | RuleTag | MinedTag | ManualTag


class TagFile(RootModel[Annotated[Tag, Field(discriminator="type")]]):
    """A tag: a typed fact about a person that people name and use."""
