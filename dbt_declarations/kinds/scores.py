"""`dbt_project/scores/<name>.yml`: a score of points, or the RFM grid."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, RootModel, StringConstraints, model_validator

from cdp.declarations import Declaration
from dbt_declarations.kinds.base import Dated, Days, Described, Expression, FactTable, Name, PlainText

Dimension = Literal["fit", "interest", "intent"]
Points = Annotated[float, Field(ge=-100_000, le=100_000, allow_inf_nan=False)]
Cap = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]


class Rule(Declaration):
    """Points for a true condition over the profile (`when`), or for each fact (`over`, `where`)."""

    name: Name
    dimension: Dimension
    points: Points = Field(description="Points when the condition is true, or for each fact; may be negative.")
    when: Expression | None = None
    over: FactTable | None = None
    where: Expression | None = None
    window_days: Days | None = None
    half_life_days: Annotated[float, Field(gt=0, le=36500, allow_inf_nan=False)] | None = Field(
        None, description="A fact this many days old is worth half its points."
    )
    cap: Cap | None = Field(None, description="The rule gives (or takes) at most this many points.")

    @model_validator(mode="after")
    def _one_shape(self) -> Rule:
        if (self.when is None) == (self.over is None):
            raise ValueError("either `when` (profile) or `over` (facts)")
        if self.over is None and (self.where or self.window_days or self.half_life_days):
            raise ValueError("`where`, `window_days` and `half_life_days` only together with `over`")
        if self.name == "dimension_cap":
            raise ValueError("a name other than dimension_cap, which is the row that cuts a dimension")
        if self.points == 0:
            raise ValueError("points other than 0")
        return self


class Grade(Declaration):
    """A grade and the points from which it is given; the last grade has no threshold and takes the rest."""

    grade: PlainText
    at_least: Points | None = None
    stage: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")] | None = Field(
        None,
        description="<model>.<stage> of the life cycle that the grade stands for: who has it and may enter is in stage_due.",
    )


class DimensionLimit(Declaration):
    """The most points that one dimension can add."""

    cap: Cap


class AccountScore(Declaration):
    """The score of an account: the points of its best persons, added up."""

    top: Annotated[int, Field(strict=True, ge=1, le=1000)] = Field(
        description="So many persons; 1: the best one alone."
    )
    cap: Cap | None = Field(None, description="The account has at most this many points.")
    grades: list[Grade] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> AccountScore:
        check_grades(self.grades)
        if any(grade.stage for grade in self.grades):
            raise ValueError("grades of accounts without `stage`: persons have stages")
        return self


class PointsScore(Dated):
    """Points per fact and per trait, with decay and caps; the reasons add up to the score."""

    type: Literal["points"]
    eligible: Expression | None = Field(None, description="Who gets the score; everybody when missing.")
    dimensions: dict[Dimension, DimensionLimit] = Field(default_factory=dict)
    rules: list[Rule] = Field(min_length=1)
    grades: list[Grade] = Field(min_length=1)
    accounts: AccountScore | None = Field(None, description="Gives accounts the score, too.")

    @model_validator(mode="after")
    def _consistent(self) -> PointsScore:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each rule name once; written twice: {', '.join(twice)}")
        check_grades(self.grades)
        return self


def check_grades(grades: list[Grade]) -> None:
    """Raises ValueError unless thresholds fall from grade to grade and the last grade takes the rest."""
    if len({grade.grade for grade in grades}) < len(grades):
        raise ValueError("each grade once")
    *above, last = grades
    if last.at_least is not None or any(grade.at_least is None for grade in above):
        raise ValueError("grades: at_least in every grade but the last, which takes the rest")
    if any(upper.at_least <= lower.at_least for upper, lower in pairwise(above)):  # type: ignore[operator]
        raise ValueError("grades: at_least falling from grade to grade")


class Bins(Declaration):
    """How a measure becomes 1 to 5: by declared edges, or by fifths of the persons."""

    edges: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=4, max_length=4)] | None = (
        Field(None, description="Four rising edges; a value equal to an edge belongs to the bin above it.")
    )
    quantiles: Literal[5] | None = Field(None, description="Fifths of the persons; equal values share a bin.")

    @model_validator(mode="after")
    def _one_method(self) -> Bins:
        if (self.edges is None) == (self.quantiles is None):
            raise ValueError("either `edges` (four numbers) or `quantiles: 5`")
        if self.edges and any(lower >= upper for lower, upper in pairwise(self.edges)):
            raise ValueError("edges that rise")
        return self


class RfmClass(Declaration):
    """A named field of the grid; the first class whose condition over r, f and m holds."""

    name: Name
    when: Expression


class RfmScore(Described):
    """Recency, frequency and monetary value of orders, each 1 (worst) to 5 (best)."""

    type: Literal["rfm"]
    window_days: Days | None = Field(None, description="Only orders of the last so many days; all when missing.")
    recency: Bins
    frequency: Bins
    monetary: Bins
    classes: list[RfmClass] = Field(min_length=1)
    otherwise: Name = Field(description="The class when no condition holds.")

    @model_validator(mode="after")
    def _classes_once(self) -> RfmScore:
        names = [entry.name for entry in self.classes]
        if len(set(names)) < len(names) or self.otherwise in names:
            raise ValueError("each class name once")
        return self


Score = PointsScore | RfmScore


class ScoreFile(RootModel[Annotated[Score, Field(discriminator="type")]]):
    """A score of points, or the RFM grid."""
