"""The rules of identity as rows: identifier types, blocked values, overrides. Read from CSV files, checked, and written as seeds."""

from __future__ import annotations

import csv
import hashlib
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from sqlglot import exp

from cdp.errors import DeclarationError

LONGEST_VALUE = 1000
"""Characters of an identifier's value; a longer one is no identifier."""


def _empty_to_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Positive = Annotated[int, Field(ge=1)]
OptionalInt = Annotated[Positive | None, BeforeValidator(_empty_to_none)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IdentifierType(_Row):
    """A row of identifier_types.csv."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")
    priority: int = Field(ge=1, le=10_000)
    tier: int = Field(1, ge=1, le=99)
    max_per_person: OptionalInt = None
    max_period: Annotated[Literal["day", "week", "month", "year"] | None, BeforeValidator(_empty_to_none)] = None
    normaliser: Literal["exact", "lower", "upper", "email", "phone"] = "exact"
    pattern: Annotated[str, BeforeValidator(lambda v: v or "^.{1,1000}$")] = "^.{1,1000}$"
    level: Literal["person", "device", "account"] = "person"
    shared_above: OptionalInt = None


class BlockedIdentifier(_Row):
    """A row of blocked_identifiers.csv."""

    identifier_type: str
    pattern: str = Field(min_length=1)
    reason: str = Field(min_length=1)


class IdentityOverride(_Row):
    """A row of identity_overrides.csv."""

    action: Literal["merge", "never"]
    left_type: str
    left_value: str = Field(min_length=1)
    right_type: str
    right_value: str = Field(min_length=1)
    reason: str = ""
    author: str = ""
    decided_on: Annotated[date, BeforeValidator(lambda v: v or date(1970, 1, 1))] = date(1970, 1, 1)


FILES: dict[str, type[_Row]] = {
    "identifier_types.csv": IdentifierType,
    "blocked_identifiers.csv": BlockedIdentifier,
    "identity_overrides.csv": IdentityOverride,
}


class Rules(BaseModel):
    """All rules; `digest` changes with each of them."""

    types: list[IdentifierType]
    blocked: list[BlockedIdentifier]
    overrides: list[IdentityOverride]

    @property
    def digest(self) -> str:
        """Hash over the rules that decide what an observation is; overrides may change from call to call."""
        text = self.model_dump_json(include={"types", "blocked"})
        return hashlib.sha256(text.encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """The three seeds."""
        folder.mkdir(parents=True, exist_ok=True)
        rows: dict[str, list[Any]] = {name: [] for name in FILES}
        rows.update(zip(FILES, (self.types, self.blocked, self.overrides), strict=True))
        for name, kind in FILES.items():
            with (folder / name).open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(kind.model_fields))
                writer.writeheader()
                writer.writerows(row.model_dump(mode="json") for row in rows[name])


def load_rules(folder: Path | None, defaults: Path) -> Rules:
    """Rules of a folder; a file that is not there is taken from `defaults`, but overrides are then none.

    Raises one DeclarationError that names file, row and column of everything that is wrong.
    """
    errors: list[DeclarationError] = []
    found: dict[str, list[Any]] = {}
    if folder is not None and not folder.is_dir():
        raise DeclarationError("is no folder", where=str(folder), expected="a folder with " + ", ".join(FILES))
    for name, kind in FILES.items():
        own = folder / name if folder else None
        path = own if own and own.exists() else defaults / name
        found[name] = [] if folder and path != own and kind is IdentityOverride else _read(path, kind, errors)
    types, blocked, overrides = found.values()
    rules = Rules(types=types, blocked=blocked, overrides=overrides)
    _check(rules, folder or defaults, errors)
    if errors:
        raise DeclarationError.all_of(errors)
    return rules


_COUNTED = re.compile(r"\^\.\{(\d{1,4}),(\d{1,4})\}\$")


def fits_anything(pattern: str) -> bool:
    """Whether each printable value that is not too long for an identifier matches."""
    counted = _COUNTED.fullmatch(pattern)
    return counted is not None and int(counted[1]) <= 1 and int(counted[2]) >= LONGEST_VALUE


def fits_sql(value: str, pattern: str) -> str:
    """SQL that tells whether `value` (an expression) matches `pattern` as a whole, by RE2.

    A pattern that only counts characters is written as a count: RE2 builds an automaton of as many states for it.
    """
    counted = _COUNTED.fullmatch(pattern)
    if counted:  # a dot stands for any character but a line feed
        return f"(length({value}) between {counted[1]} and {counted[2]} and not contains({value}, chr(10)))"
    return f"regexp_full_match({value}, {exp.Literal.string(pattern).sql(dialect='duckdb')})"


def _read(path: Path, kind: type[_Row], errors: list[DeclarationError]) -> list[Any]:
    rows: list[Any] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                try:
                    rows.append(kind.model_validate({k: v for k, v in row.items() if v is not None}))
                except ValidationError as error:
                    for e in error.errors(include_input=False):
                        column = ".".join(str(part) for part in e["loc"]) or "row"
                        expected = "one of " + ", ".join(kind.model_fields) if e["type"] == "extra_forbidden" else ""
                        errors.append(
                            DeclarationError(e["msg"], where=f"{path}, line {number}, {column}", expected=expected)
                        )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        errors.append(DeclarationError(f"cannot be read: {error}", where=str(path), expected="a CSV file in UTF-8"))
    return rows


def _check(rules: Rules, where: Path, errors: list[DeclarationError]) -> None:
    import duckdb

    names = [t.name for t in rules.types]
    columns: dict[str, list[Any]] = {"name": names, "priority": [t.priority for t in rules.types]}
    for column, values in columns.items():
        for twice in sorted({v for v in values if values.count(v) > 1}, key=str):
            errors.append(DeclarationError(f"{column} {twice} stands twice", where=str(where / "identifier_types.csv")))
    patterns = [("identifier_types.csv", t.pattern) for t in rules.types]
    patterns += [("blocked_identifiers.csv", b.pattern) for b in rules.blocked]
    with duckdb.connect() as con:
        for name, pattern in patterns:
            try:
                con.execute("select regexp_matches('', ?)", [pattern]).fetchall()
            except duckdb.Error as error:
                errors.append(
                    DeclarationError(
                        f'"{pattern}" is no regular expression', where=str(where / name), expected=f"RE2: {error}"
                    )
                )
    used = [("blocked_identifiers.csv", b.identifier_type) for b in rules.blocked if b.identifier_type != "*"]
    used += [("identity_overrides.csv", t) for o in rules.overrides for t in (o.left_type, o.right_type)]
    for name, type_ in sorted(set(used)):
        if type_ not in names:
            errors.append(
                DeclarationError(
                    f'unknown identifier type "{type_}"',
                    where=str(where / name),
                    expected="one of " + ", ".join(names),
                )
            )
