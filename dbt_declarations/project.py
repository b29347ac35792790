"""All declarations of a dbt project, loaded; and where their columns come from."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cdp.declarations import Document, KeyPath, load
from cdp.errors import DeclarationError
from dbt_declarations.contracts import Column, Contract, read_contracts
from dbt_declarations.expressions import check
from dbt_declarations.kinds import Defaults, Lifecycle, ScoreFile, Segment, TagFile
from dbt_declarations.predicted import Models, columns_of, read_predicted
from dbt_declarations.scope import ExpressionError, Scope
from dbt_declarations.value_types import Typed

# Marts whose names begin like hand-written tags and segments.
NOT_HANDWRITTEN = {"tag_assignment", "tag_history", "tag_catalogue", "segment_membership"}
# Names of tables beside those of declarations, and of columns beside theirs.
RESERVED = {"assignment", "history", "catalogue", "membership", "person_id", "person_number", "digest", "inputs_digest"}
RESERVED |= {"holds_until", "written_at"}


@dataclass(frozen=True)
class Facts:
    """A table of facts: its model, the column of its moment, the columns that name one fact, the column of its kind, and whether
    it has columns for the person's number and for a digest of the row."""

    model: str
    at: str
    key: tuple[str, ...]
    kind: str | None = None
    digested: bool = False


FACTS = {
    "event": Facts("person_event", "occurred_at", ("event_key",), "event_name", digested=True),
    "order": Facts("person_order", "ordered_at", ("order_key",), digested=True),
    "lead": Facts("person_lead", "created_at", ("object_type", "object_key")),
    "stage_change": Facts("person_stage_change", "changed_at", ("object_type", "object_key", "sequence")),
}
# Columns of tables of facts by which their aggregates are kept.
PERSON_NUMBER, ROW_DIGEST = "person_number", "row_digest"
UNNAMED = {"person_id", PERSON_NUMBER, ROW_DIGEST}
PROFILE = {
    "person": "person",
    "trait": "person_traits",
    "touch": "person_touch",
    "rfm": "person_rfm",
    "account": "account",
}


@dataclass
class Problems:
    """Collects what is wrong, so that one run tells everything."""

    errors: list[DeclarationError] = field(default_factory=list)

    def add(self, document: Document[Any], keys: KeyPath, error: ExpressionError) -> None:
        """Note an error of an expression at a key."""
        self.errors.append(document.error(keys, error.what, expected=error.expected, fix=error.fix))

    def stop(self) -> None:
        """Raise everything that was noted, if anything was."""
        if self.errors:
            raise DeclarationError.all_of(self.errors)


@dataclass(frozen=True)
class Project:
    """What was read from the folders of a dbt project."""

    dbt_dir: Path
    contracts: dict[str, Contract]
    tags: list[Document[TagFile]]
    scores: list[Document[ScoreFile]]
    segments: list[Document[Segment]]
    lifecycle: Document[Lifecycle] | None
    defaults: Document[Defaults] | None
    tag_models: dict[str, Path]
    segment_models: dict[str, Path]
    problems: Problems
    lists: frozenset[str] = frozenset()
    predicted: Models = field(default_factory=dict)

    def broken(self, folder: str) -> dict[str, Column]:
        """Declarations that could not be read: they have a name, and whoever uses it is not wrong because of them."""
        documents: list[Document[Any]] = [*self.tags, *self.scores, *self.segments]
        loaded = {d.path for d in documents}
        names = [p.stem for p in sorted((self.dbt_dir / folder).glob("*.yml")) if p not in loaded]
        return {n: Column(n, "any") for n in names}

    def check(self, document: Document[Any], keys: KeyPath, text: str, scope: Scope, *wanted: Any) -> Typed | None:
        """The checked expression at a key, or None when it is wrong (noted in `problems`)."""
        try:
            return check(text, scope, wanted)
        except ExpressionError as error:
            self.problems.add(document, keys, error)
            return None

    def columns(self, model: str) -> dict[str, Column]:
        """The columns of a model that expressions may use: all of its contract but those that say whose it is and what it was."""
        contract = self.contracts.get(model)
        return {n: c for n, c in contract.columns.items() if n not in UNNAMED} if contract else {}

    def profile_scope(self) -> dict[str, dict[str, Column]]:
        """Namespaces of what is known of a person before tags."""
        namespaces = {name: self.columns(model) for name, model in PROFILE.items()}
        stages: dict[str, Column] = {}
        for machine in self.lifecycle.value.models if self.lifecycle else []:
            stages[f"{machine.name}_stage"] = Column(f"{machine.name}_stage", "text")
            stages[f"{machine.name}_entered_at"] = Column(f"{machine.name}_entered_at", "timestamp")
        return {**namespaces, "lifecycle": stages, **columns_of(self.predicted)}

    def fact_scope(self, over: str) -> Scope:
        """The columns of one table of facts."""
        columns = self.columns(FACTS[over].model) or (self.columns("event") if over == "event" else {})
        return Scope({over: columns}, qualified_only=frozenset(), facts=True)


def load_project(dbt_dir: Path) -> Project:
    """Read every declaration. What is wrong in a file goes to `problems`; the other files are still read."""
    problems = Problems()
    predicted, unnameable = read_predicted(dbt_dir)
    problems.errors += unnameable
    return Project(
        dbt_dir=dbt_dir,
        contracts=_contracts(dbt_dir, problems),
        tags=_named(_load_folder(dbt_dir / "tags", TagFile, problems), problems),
        scores=_named(_load_folder(dbt_dir / "scores", ScoreFile, problems), problems),
        segments=_named(_load_folder(dbt_dir / "segments", Segment, problems), problems),
        lifecycle=_optional(dbt_dir / "lifecycle.yml", Lifecycle, problems),
        defaults=_optional(dbt_dir / "defaults.yml", Defaults, problems),
        tag_models=_handwritten(dbt_dir / "models" / "tags", "tag_", problems),
        segment_models=_handwritten(dbt_dir / "models" / "segments", "segment_", problems),
        problems=problems,
        lists=_lists(dbt_dir / "seeds" / "segments" / "person_lists.csv"),
        predicted=predicted,
    )


def _lists(path: Path) -> frozenset[str]:
    """Names of the lists of persons: the values of the first column."""
    if not path.exists():
        return frozenset()
    with path.open(encoding="utf-8-sig", newline="") as file:
        return frozenset(row["list"].strip() for row in csv.DictReader(file) if row.get("list"))


def _contracts(dbt_dir: Path, problems: Problems) -> dict[str, Contract]:
    try:
        contracts = read_contracts(dbt_dir)
    except DeclarationError as error:
        problems.errors.append(error)
        return {}
    for model in ("person", "person_event", "person_order"):
        known = contracts.get(model) or (contracts.get("event") if model == "person_event" else None)
        if known is None or not known.columns:
            problems.errors.append(
                DeclarationError(
                    f"the contract of {model} is missing",
                    where=str(dbt_dir / "models" / "profiles" / f"{model}.yml"),
                    expected="a model with columns that have name and data_type",
                    fix="add it: expressions are checked against these columns",
                )
            )
    return contracts


def _load_folder(folder: Path, model: Any, problems: Problems) -> list[Document[Any]]:
    documents = []
    for path in sorted(folder.glob("*.yml")):
        loaded = _optional(path, model, problems)
        if loaded is not None:
            documents.append(loaded)
    for path in sorted(folder.glob("*.yaml")):
        problems.errors.append(DeclarationError("is not read", where=str(path), expected=".yml", fix="rename it"))
    return documents


def _optional(path: Path, model: type[BaseModel], problems: Problems) -> Any:
    if not path.exists():
        return None
    try:
        return load(path, model)
    except DeclarationError as error:
        problems.errors.append(error)
        return None


def _named(documents: list[Document[Any]], problems: Problems) -> list[Document[Any]]:
    for document in documents:
        name = declared(document).name
        if name != document.path.stem:
            problems.errors.append(
                document.error(
                    ("name",),
                    f'is "{name}" in {document.path.name}',
                    expected=document.path.stem,
                    fix="rename one of them",
                )
            )
        if name in RESERVED:
            problems.errors.append(document.error(("name",), f'"{name}" is reserved', fix="choose another name"))
    return documents


def declared(document: Document[Any]) -> Any:
    """The declaration itself, without the wrapper of a file that may hold one of several kinds."""
    return getattr(document.value, "root", document.value)


def _handwritten(folder: Path, prefix: str, problems: Problems) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob(f"{prefix}*.sql")):
        name = path.stem.removeprefix(prefix)
        if path.stem in NOT_HANDWRITTEN:
            continue
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,47}", name):
            problems.errors.append(
                DeclarationError(
                    f'"{name}" cannot be a name', where=str(path), expected="lower-case letters, digits, _"
                )
            )
            continue
        found[name] = path
    return found


def duplicates(documents: Iterable[Document[Any]], models: dict[str, Path], what: str, problems: Problems) -> None:
    """Note every name that is both declared and written by hand."""
    for document in documents:
        name = declared(document).name
        if name in models:
            problems.errors.append(
                document.error(
                    ("name",), f'{what} "{name}" is also written by hand in {models[name].name}', fix="keep one"
                )
            )
