"""Decisions of people on manual tags: checked against the declared tags, written as files that `tag_decisions` loads."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from cdp.declarations import load_folder, suggest
from cdp.errors import DeclarationError
from cdp.settings import Settings
from dbt_declarations.kinds import ManualTag, TagFile
from dbt_declarations.project import declared

FOLDER = "tag_decisions"
COLUMNS = ("identifier_type", "identifier_value", "tag", "value")
_TRUTH = {"true", "false", "yes", "no", "t", "f", "1", "0"}


@dataclass(frozen=True)
class Decision:
    """A tag of the person who has an identifier gets a value; None takes it away. `where` is told in errors."""

    identifier_type: str
    identifier_value: str
    tag: str
    value: str | None
    where: str

    @classmethod
    def of(cls, person: str, tag: str, value: str | None) -> Decision:
        """The decision of a command line. Raises DeclarationError when the person is not written as type:value."""
        kind, colon, identifier = person.partition(":")
        if not (kind and colon and identifier):
            raise DeclarationError(
                "does not name an identifier", where="PERSON", expected="type:value, e.g. email:kim@shop.example"
            )
        return cls(kind, identifier, tag, value, "TAG")


def of_file(path: Path) -> list[Decision]:
    """The rows of a CSV with the columns of COLUMNS; an empty value takes the tag away. Raises DeclarationError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [c for c in COLUMNS if c not in (reader.fieldnames or [])]
            if missing:
                raise DeclarationError(
                    f"has no column {', '.join(missing)}", where=f"{path}:1", expected=", ".join(COLUMNS)
                )
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DeclarationError(f"cannot be read: {error}", where=str(path), expected="a CSV in UTF-8") from None
    found = []
    for line, row in rows:
        kind, identifier, tag, value = ((row[column] or "").strip() for column in COLUMNS)
        found.append(Decision(kind, identifier, tag, value or None, f"{path}:{line}"))
    return found


def keep(decisions: list[Decision], settings: Settings, by: str, at: str = "") -> Path:
    """Write the decisions into one file of their own and return it. Raises DeclarationError that lists everything that is wrong;
    then nothing is written."""
    moment = _moment(at)
    types = _identifier_types(settings)
    found = map(declared, load_folder(settings.dbt_dir / "tags", TagFile))
    tags = {t.name: t for t in found if isinstance(t, ManualTag)}
    errors = [e for d in decisions for e in _wrong(d, tags, types)]
    if errors:
        raise DeclarationError.all_of(errors)
    lines = []
    for number, decision in enumerate(decisions):
        said = {k: v for k, v in asdict(decision).items() if k != "where"} | {"set_by": by, "set_at": moment}
        digest = hashlib.sha256(json.dumps([number, said], sort_keys=True).encode()).hexdigest()[:32]
        lines.append(json.dumps({"decision_id": digest, **said}, ensure_ascii=False) + "\n")
    text = "".join(lines)
    name = f"{moment.replace(':', '').replace('-', '')}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.jsonl"
    path = settings.path(FOLDER, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def _moment(at: str) -> str:
    if not at:
        return datetime.now(UTC).isoformat()
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        raise DeclarationError(
            f'"{at}" is not a moment', where="--at", expected="ISO 8601 such as 2026-02-01T09:30:00"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _identifier_types(settings: Settings) -> list[str]:
    with (settings.dbt_dir / "seeds" / "identity" / "identifier_types.csv").open(encoding="utf-8", newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


def _wrong(decision: Decision, tags: dict[str, ManualTag], types: list[str]) -> list[DeclarationError]:
    """What is wrong in a decision; never with the identifier itself, which is personal data."""
    found = []
    if decision.identifier_type not in types:
        found.append(
            DeclarationError(
                f'"{decision.identifier_type}" is no type of identifier',
                where=decision.where,
                expected="one of " + ", ".join(types),
                fix=suggest(decision.identifier_type, types),
            )
        )
    if not decision.identifier_value:
        found.append(DeclarationError("names nobody: the identifier is empty", where=decision.where))
    tag = tags.get(decision.tag)
    if tag is None:
        names = sorted(tags)
        found.append(
            DeclarationError(
                f'there is no manual tag "{decision.tag}"',
                where=decision.where,
                expected="one of " + ", ".join(names) if names else "a tag with `type: manual`",
                fix=suggest(decision.tag, names),
            )
        )
    elif decision.value is not None and not fits(decision.value, tag):
        expected = ", ".join(tag.allowed_values) if tag.allowed_values else f"a {tag.value_type}"
        found.append(
            DeclarationError(f'"{decision.value}" is no value of {tag.name}', where=decision.where, expected=expected)
        )
    return found


def fits(value: str, tag: ManualTag) -> bool:
    """Whether a tag may have this value."""
    if tag.allowed_values and value not in tag.allowed_values:
        return False
    try:
        if tag.value_type == "number":
            float(value)
        elif tag.value_type == "date":
            date.fromisoformat(value)
    except ValueError:
        return False
    return tag.value_type != "boolean" or value.lower() in _TRUTH
