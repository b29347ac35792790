"""What a matching model declares: which columns are compared how, which pairs are looked at, how it is trained.

The method is that of Fellegi and Sunter (A Theory for Record Linkage, 1969) as Splink 5 runs it: each comparison adds a match
weight, the base 2 logarithm of how much likelier that outcome is among records of one entity than among others.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cdp.declarations import Declaration, Document, load, load_folder
from cdp.identity.matching_columns import CleaningStep

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Probability = Annotated[float, Field(gt=0, lt=1)]
Similarity = Literal["jaro_winkler", "jaro", "jaccard", "levenshtein", "damerau_levenshtein"]
SCORES = ("jaro_winkler", "jaro", "jaccard")


class Column(Declaration):
    """A column as it is compared: where it comes from, and how it is cleaned."""

    from_: str | list[str] = Field(alias="from", description="Column of the records; several are joined by a space.")
    clean: list[CleaningStep] = Field([], description="Steps in order; trimming comes first, and empty becomes null.")
    empty: list[str] = Field([], description="Cleaned values that say nothing, such as unknown; they become null.")
    first: int | None = Field(None, ge=1, le=100, description="Keep only so many characters: for blocking.")

    @property
    def sources(self) -> list[str]:
        """The columns of the records it is made of."""
        return [self.from_] if isinstance(self.from_, str) else self.from_


class _OneColumn(Declaration):
    column: Name

    @property
    def columns(self) -> list[str]:
        """The columns that are compared."""
        return [self.column]

    @property
    def label(self) -> str:
        """Name of the comparison in explanations."""
        return self.column


class _Weighted(_OneColumn):
    term_frequency: bool = Field(
        False, description="An agreement on a rare value weighs more than one on a common one."
    )


class Exact(_Weighted):
    """Same or different."""

    type: Literal["exact"]


class Text(_Weighted):
    """Same, similar by steps, or different."""

    type: Literal["text"]
    similarity: Similarity = "jaro_winkler"
    at: list[float] = Field(
        [0.9, 0.7], min_length=1, description="Steps from near to far: scores of 0 to 1, or numbers of edits."
    )

    @model_validator(mode="after")
    def _steps(self) -> Text:
        _check_steps(self.at, self.similarity in SCORES)
        return self


class PersonNames(Declaration):
    """First and last name together: both the same, swapped, both similar, or one of them the same; rare ones weigh more."""

    type: Literal["names"]
    first_name: Name
    last_name: Name
    at: list[float] = Field([0.92, 0.88], min_length=1, description="Jaro-Winkler scores from near to far.")

    @model_validator(mode="after")
    def _steps(self) -> PersonNames:
        _check_steps(self.at, True)
        return self

    @property
    def columns(self) -> list[str]:
        """The columns that are compared."""
        return [self.first_name, self.last_name]

    @property
    def label(self) -> str:
        """Name of the comparison in explanations."""
        return f"{self.first_name}_{self.last_name}"


class Email(_OneColumn):
    """Same address, same part before the @, or similar ones; an agreement on a rare address weighs more."""

    type: Literal["email"]


class Date(_OneColumn):
    """Same date, one typing error away, within given spans, or further apart."""

    type: Literal["date"]
    within: list[Annotated[str, Field(pattern=r"^[1-9][0-9]* (day|month|year)s?$")]] = Field(
        ["1 month", "1 year", "10 years"], min_length=1, description="Spans from near to far, such as 1 month."
    )


Comparison = Annotated[Exact | Text | PersonNames | Email | Date, Field(discriminator="type")]
Block = Annotated[list[Name], Field(min_length=1)]


class Prior(Declaration):
    """How many pairs are the same entity, estimated by rules that are nearly always right."""

    rules: list[Block] = Field(min_length=1, description="Pairs that agree on all columns of a rule are the same.")
    recall: Probability = Field(description="Share of the true pairs that these rules find, by your own judgement.")


class Training(Declaration):
    """Training needs no labels: frequencies among random pairs, then expectation maximisation within blocks."""

    seed: int = Field(1, ge=0, description="Seed of the sample of random pairs.")
    sample_pairs: int = Field(2_000_000, ge=1000, description="Random pairs at most; all, where there are fewer.")
    prior: Prior
    blocks: list[Block] = Field(
        min_length=1, description="One pass each over pairs that agree on these columns; it trains the other columns."
    )


class MatchingModel(Declaration):
    """A matching model: dbt_project/matching/<name>.yml for the warehouse, or any file for `cdp identity match`."""

    name: Name
    description: str
    owner: str
    active: bool = Field(True, description="In the warehouse: whether runs match by it.")
    entity: Literal["person", "account"] | None = Field(
        None, description="In the warehouse: what its pairs tie together, persons or companies."
    )
    input: Name | None = Field(
        None, description="In the warehouse: the dbt model whose rows are matched, by record_id."
    )
    parameters: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]*[.]json$")] | None = Field(
        None, description="File beside this one with parameters of an earlier training; without it every run trains."
    )
    columns: dict[Name, Column] = Field(min_length=1)
    comparisons: list[Comparison] = Field(min_length=2)
    block_on: list[Block] = Field(min_length=1, description="Pairs that agree on all columns of any entry are scored.")
    training: Training
    accept: Probability = Field(description="Pairs of at least this probability are the same.")
    max_block: int = Field(
        500, ge=2, description="More records that agree on an entry of block_on are not compared by that entry."
    )
    keep: Probability = Field(0.01, description="Pairs below this probability are not written down.")
    report_at: list[Probability] = Field([0.5, 0.8, 0.9, 0.95, 0.99, 0.999], min_length=1)

    @field_validator("columns")
    @classmethod
    def _reserved(cls, columns: dict[str, Column]) -> dict[str, Column]:
        taken = sorted(n for n in columns if re.fullmatch(r"record_id|(tf|mw|gamma)_.*|.*_[lr]", n))
        if taken:
            raise ValueError(f'a name that does not mean something else already; "{taken[0]}" does')
        return columns

    @model_validator(mode="after")
    def _consistent(self) -> MatchingModel:
        known = set(self.columns)
        blocks = [*self.block_on, *self.training.blocks, *self.training.prior.rules]
        for used in (*(c.columns for c in self.comparisons), *blocks):
            unknown = sorted(set(used) - known)
            if unknown:
                raise ValueError(f'columns that are declared under "columns"; "{unknown[0]}" is not')
        labels = [c.label for c in self.comparisons]
        if len(set(labels)) < len(labels):
            raise ValueError("each column in one comparison only")
        for comparison in self.comparisons:
            if all(set(block) & set(comparison.columns) for block in self.training.blocks):
                raise ValueError(
                    f'for each comparison a training block without its columns; "{comparison.label}" is part of each '
                    "and could never be trained"
                )
        if self.keep > self.accept:
            raise ValueError("keep to be at most accept: accepted pairs must be written down")
        if (self.entity is None) != (self.input is None):
            raise ValueError("entity and input together, or neither")
        return self

    @property
    def source_columns(self) -> list[str]:
        """The columns that the records must have, beside record_id."""
        return list(dict.fromkeys(name for column in self.columns.values() for name in column.sources))


def load_model(path: Path) -> Document[MatchingModel]:
    """Read one model. Raises DeclarationError for everything that is wrong in it."""
    return load(path, MatchingModel)


def load_models(dbt_dir: Path) -> list[Document[MatchingModel]]:
    """The models of the warehouse: dbt_project/matching/*.yml. Raises DeclarationError."""
    documents = load_folder(dbt_dir / "matching", MatchingModel)
    for document in documents:
        if document.value.name != document.path.stem:
            raise document.error(("name",), f"differs from {document.path.name}", expected=document.path.stem)
        if document.value.entity is None:
            raise document.error((), "says not what it matches", expected="entity and input", fix="add both")
    return documents


def _check_steps(steps: list[float], are_scores: bool) -> None:
    if are_scores and not all(0 < step < 1 for step in steps):
        raise ValueError("scores between 0 and 1")
    if not are_scores and not all(step >= 1 and step == int(step) for step in steps):
        raise ValueError("whole numbers of edits")
    if steps != sorted(steps, reverse=are_scores) or len(set(steps)) < len(steps):
        raise ValueError("steps from near to far: " + ("falling scores" if are_scores else "rising numbers"))
