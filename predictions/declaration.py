"""`dbt_project/scores/models/<name>.yml`: one predictive model a file; the same shape serves a model over anybody's file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, RootModel, StringConstraints, model_validator

from cdp.declarations import Declaration, Document, load, load_folder, suggest
from cdp.errors import DeclarationError
from cdp.settings import Settings
from dbt_declarations.kinds.base import Days, Described, Expression, FactTable, Name
from dbt_declarations.kinds.tags import WITHOUT_OF, Aggregate

FOLDER = Path("scores") / "models"
# Segment's documentation of predictive traits asks for as many; below it, the measures of a model are noise.
LEAST_OF_EACH = 100
MANY_CUTOFFS = 36

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Feature(Declaration):
    """An aggregate over the facts that were known at the cut-off."""

    name: Name
    over: FactTable
    aggregate: Aggregate
    of: Expression | None = None
    where: Expression | None = None
    window_days: Days | None = None

    @model_validator(mode="after")
    def _of_where_needed(self) -> Feature:
        if (self.of is None) != (self.aggregate in WITHOUT_OF):
            raise ValueError(f"`of` with every aggregate but {' and '.join(WITHOUT_OF)}")
        if self.aggregate == "collect":
            raise ValueError("an aggregate with one value; collect gives a list")
        return self


class Happening(Declaration):
    """Facts of one table; a row is positive when one of them lies within the horizon."""

    over: FactTable
    where: Expression | None = None


class Label(Declaration):
    """What is predicted: that at least one of these facts happens within the horizon, or that none does."""

    any_of: list[Happening] = Field(min_length=1)
    happens: bool = Field(True, description="false: positive is who has none of these facts (churn).")


class Cutoffs(Declaration):
    """At which moments the past is looked at to learn from it."""

    every_days: Days = Field(14, description="Distance between two cut-offs.")
    count: Annotated[int, Field(strict=True, ge=1, le=MANY_CUTOFFS)] = Field(
        4, description="Cut-offs to learn from, counted back; one more is held out and measured."
    )


class Learner(Described):
    """What the models of a probability have in common."""

    algorithm: Literal["gradient_boosting", "logistic"] = "gradient_boosting"
    calibration: Literal["sigmoid", "isotonic"] = "sigmoid"
    seed: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)] = 7
    max_categories: Annotated[int, Field(strict=True, ge=2, le=200)] = Field(
        20, description="The most frequent values of a text that count as themselves; others are one value."
    )
    leakage_auc: Annotated[float, Field(gt=0.5, le=1)] = Field(
        0.9, description="A single feature that separates better than this raises a leakage warning."
    )


class OutcomeModel(Learner):
    """The probability that something happens (or does not) within a horizon, by person or by account."""

    type: Literal["outcome"]
    grain: Literal["person", "account"] = "person"
    population: Expression | None = Field(None, description="Who is looked at, over the features; all when missing.")
    label: Label
    horizon_days: Days
    cutoffs: Cutoffs = Cutoffs()
    features: list[Feature] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_once(self) -> OutcomeModel:
        _once([f.name for f in self.features], "feature")
        return self


class LifetimeValueModel(Described):
    """How many more orders, and what they will be worth, by BG/NBD and Gamma-Gamma."""

    type: Literal["lifetime_value"]
    value: Expression = Field("net_value", description="What an order is worth.")
    where: Expression | None = Field("is_revenue", description="Which orders count.")
    horizon_days: Days = Field(365, description="How far ahead value is added up.")
    holdout_days: Days = Field(90, description="The last days before as_of, held out to measure.")
    seed: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)] = 7


class TableModel(Learner):
    """The probability that a column of a table (or of a file) is true, from its other columns."""

    type: Literal["table"]
    id: ColumnName = Field(description="Column that names a row; it is no feature.")
    label: ColumnName | None = Field(None, description="Column with the outcome; `--label` stands above it.")
    positive: list[str] = Field(["1", "true", "yes", "y", "t"], description="Values that mean yes (any case).")
    negative: list[str] = Field(["0", "false", "no", "n", "f"], description="Values that mean no (any case).")
    features: list[ColumnName] | Literal["all"] = Field("all", description="`all`: every column not named elsewhere.")
    ignore: list[ColumnName] = Field(default_factory=list, description="Columns that are no feature: other ids, notes.")
    filled_later: list[ColumnName] = Field(
        default_factory=list,
        description="Columns that are filled in after the outcome; a model that asks for them is refused.",
    )
    missing: list[str] = Field([""], description="Values that mean nothing was said (any case).")
    held_out: Annotated[float, Field(gt=0, lt=1)] = Field(0.3, description="Share of rows that is only measured.")

    @model_validator(mode="after")
    def _consistent(self) -> TableModel:
        if self.features != "all":
            _once(self.features, "feature")
            late = [f for f in self.features if f in self.filled_later]
            if late:
                raise ValueError(f"features that are known before the outcome; filled in later: {', '.join(late)}")
        both = {v.lower() for v in self.positive} & {v.lower() for v in self.negative}
        if both:
            raise ValueError(f"each value positive or negative; both: {', '.join(sorted(both))}")
        return self


Model = OutcomeModel | LifetimeValueModel | TableModel


class ModelFile(RootModel[Annotated[Model, Field(discriminator="type")]]):
    """A predictive model: what it predicts, from what, and how far ahead."""


def _once(names: list[str], what: str) -> None:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(f"each {what} once; written twice: {', '.join(twice)}")


def read_models(settings: Settings) -> dict[str, Document[ModelFile]]:
    """The declared models by name. Raises DeclarationError listing everything that is wrong."""
    from predictions.features import check_outcome

    found: dict[str, Document[ModelFile]] = {}
    errors: list[DeclarationError] = []
    for document in load_folder(settings.dbt_dir / FOLDER, ModelFile):
        model = document.value.root
        if model.name != document.path.stem:
            errors.append(document.error(("name",), f'is "{model.name}" in {document.path.name}', fix="rename one"))
        if isinstance(model, TableModel):
            errors.append(
                document.error(
                    ("type",),
                    "table models are for files",
                    expected="outcome or lifetime_value",
                    fix="keep it elsewhere and use --data, --model",
                )
            )
        else:
            errors += check_outcome(document, settings)
        found[model.name] = document
    if errors:
        raise DeclarationError.all_of(errors)
    return found


def named(settings: Settings, name: str) -> Document[ModelFile]:
    """One declared model. Raises DeclarationError with the names there are."""
    models = read_models(settings)
    if name not in models:
        raise DeclarationError(
            f'no model is called "{name}"',
            where=str(settings.dbt_dir / FOLDER),
            expected="one of " + ", ".join(models) if models else "a file <name>.yml",
            fix=suggest(name, list(models)),
        )
    return models[name]


def read_table_model(path: Path) -> TableModel:
    """The declaration of a model over a file. Raises DeclarationError."""
    document = load(path, ModelFile)
    model = document.value.root
    if not isinstance(model, TableModel):
        raise document.error(
            ("type",), f"is {model.type}", expected="table", fix="use `cdp model train NAME` for the others"
        )
    return model
