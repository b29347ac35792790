"""Finds syncs, and checks each against its source's contract and its destination's spec before anything runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cdp.declarations import Document, load, suggest
from cdp.errors import DeclarationError
from cdp.settings import Settings
from reverse_etl import contract
from reverse_etl.declaration import FieldMap, Sync
from reverse_etl.destination_spec import DestinationSpec, FieldRule, FieldType, ObjectSpec

DESTINATIONS = Path(__file__).resolve().parent / "destinations"

# What a kind of value may be stored as without a cast.
_FITS: dict[FieldType, set[FieldType]] = {"integer": {"number"}}


@dataclass(frozen=True)
class MappedField:
    """One field of a sync with all that is known about it."""

    name: str
    map: FieldMap
    rule: FieldRule
    column_type: FieldType
    is_custom: bool


@dataclass(frozen=True)
class ResolvedSync:
    """A sync whose every name is known to exist and to fit."""

    sync: Sync
    spec: DestinationSpec
    object: ObjectSpec
    fields: tuple[MappedField, ...]
    options: dict[str, str]

    @property
    def relation(self) -> tuple[str, str]:
        """Schema and name of the source in the warehouse."""
        return contract.SCHEMA, self.sync.source


def sync_names(settings: Settings) -> list[str]:
    """Names of all declared syncs, sorted."""
    return sorted(path.stem for path in _folder(settings).glob("*.yml"))


def destination_names() -> list[str]:
    """Destinations that exist, sorted."""
    return sorted(path.parent.name for path in DESTINATIONS.glob("*/spec.yml"))


def destination(name: str) -> DestinationSpec:
    """The spec of a destination. Raises DeclarationError."""
    document = load(DESTINATIONS / name / "spec.yml", DestinationSpec)
    if document.value.name != name:
        raise document.error(("name",), f'is "{document.value.name}"', expected=f'the folder\'s name, "{name}"')
    return document.value


def resolve_all(settings: Settings) -> list[ResolvedSync]:
    """Every sync, resolved. Raises one DeclarationError that lists all that is wrong in all of them."""
    resolved, errors = [], []
    for name in sync_names(settings):
        try:
            resolved.append(resolve(name, settings))
        except DeclarationError as error:
            errors.append(error.render())
    if errors:
        raise DeclarationError("\n".join(errors))
    return resolved


def resolve(name: str, settings: Settings) -> ResolvedSync:
    """Read and check one sync. Raises DeclarationError listing everything that is wrong with it."""
    names = sync_names(settings)
    if name not in names:
        raise DeclarationError(
            f'there is no sync "{name}"',
            where=str(_folder(settings)),
            expected="one of " + ", ".join(names) if names else "at least one file",
            fix=suggest(name, names) or f"add {name}.yml",
        )
    document = load(_folder(settings) / f"{name}.yml", Sync)
    sync = document.value
    if sync.name != name:
        raise document.error(("name",), f'is "{sync.name}"', expected=f'the file\'s name, "{name}"')
    spec, target = _target(document)
    source = _source(document, settings)
    errors: list[DeclarationError] = []
    _check_purpose(document, source, errors)
    if sync.mode not in target.modes:
        errors.append(
            document.error(
                ("mode",), f"{spec.name} cannot {sync.mode} {sync.object}", expected="one of " + ", ".join(target.modes)
            )
        )
    fields = [
        field
        for field_name in sync.fields
        if (field := _field(document, field_name, target, source, errors)) is not None
    ]
    _check_key(document, target, source, errors)
    options = _options(document, target, errors)
    if errors:
        raise DeclarationError("\n".join(error.render() for error in errors))
    # Sorted, so that the order in the file is not part of what was sent.
    fields.sort(key=lambda field: field.name)
    return ResolvedSync(sync, spec, target, tuple(fields), options)


def _folder(settings: Settings) -> Path:
    return settings.project_root / "reverse_etl" / "syncs"


def _target(document: Document[Sync]) -> tuple[DestinationSpec, ObjectSpec]:
    sync, known = document.value, destination_names()
    if sync.destination not in known:
        raise document.error(
            ("destination",),
            f'there is no destination "{sync.destination}"',
            expected="one of " + ", ".join(known),
            fix=suggest(sync.destination, known),
        )
    spec = destination(sync.destination)
    if sync.object not in spec.objects:
        raise document.error(
            ("object",),
            f'{spec.name} has no object "{sync.object}"',
            expected="one of " + ", ".join(spec.objects),
            fix=suggest(sync.object, list(spec.objects)),
        )
    return spec, spec.objects[sync.object]


def _source(document: Document[Sync], settings: Settings) -> contract.Contract:
    known = contract.names(settings)
    if document.value.source not in known:
        raise document.error(
            ("source",),
            f'there is no contract of a model "{document.value.source}"',
            expected="one of " + ", ".join(known) if known else f"{document.value.source}.yml beside the model",
            fix=suggest(document.value.source, known),
        )
    return contract.read(document.value.source, settings)


def _check_purpose(document: Document[Sync], source: contract.Contract, errors: list[DeclarationError]) -> None:
    if document.value.consent_purpose != source.consent_purpose:
        errors.append(
            document.error(
                ("consent_purpose",),
                f'is "{document.value.consent_purpose}"',
                expected=f'"{source.consent_purpose}", the purpose {source.model} filters on',
                fix="send another model, or correct the purpose in the one place where it is wrong",
            )
        )


def _field(
    document: Document[Sync], name: str, target: ObjectSpec, source: contract.Contract, errors: list[DeclarationError]
) -> MappedField | None:
    mapped, keys = document.value.fields[name], ("fields", name)
    column_type = source.columns.get(mapped.column)
    if column_type is None:
        errors.append(
            document.error(
                (*keys, "column"),
                f'{source.model} has no column "{mapped.column}"',
                expected="one of " + ", ".join(source.columns),
                fix=suggest(mapped.column, list(source.columns)),
            )
        )
        return None
    kind = mapped.cast or column_type
    rule, others = target.fields.get(name), target.other_fields
    if rule is None and others is not None and name.startswith(others.prefix):
        return MappedField(name, mapped, FieldRule(type=kind, pii=others.pii), column_type, True)
    if rule is None:
        accepted = ", ".join(target.fields) + (f", or a name that begins with {others.prefix}" if others else "")
        errors.append(
            document.error(
                keys,
                f'{document.value.destination} has no field "{name}" in {document.value.object}',
                expected=f"one of {accepted}",
                fix=suggest(name, list(target.fields)),
            )
        )
        return None
    if kind != rule.type and rule.type not in _FITS.get(kind, set()):
        errors.append(
            document.error(
                keys,
                f"{mapped.column} is {kind}, the field takes {rule.type}",
                expected=rule.type,
                fix=f"add `cast: {rule.type}`",
            )
        )
        return None
    return MappedField(name, mapped, rule, column_type, False)


def _check_key(
    document: Document[Sync], target: ObjectSpec, source: contract.Contract, errors: list[DeclarationError]
) -> None:
    sync = document.value
    by_column = {mapped.column: name for name, mapped in sync.fields.items()}
    for position, column in enumerate(sync.key):
        if column not in source.columns:
            errors.append(
                document.error(
                    ("key", position),
                    f'{source.model} has no column "{column}"',
                    expected="one of " + ", ".join(source.columns),
                    fix=suggest(column, list(source.columns)),
                )
            )
    found = {by_column.get(column) for column in sync.key}
    if target.key and found != set(target.key):
        errors.append(
            document.error(
                ("key",),
                f"{', '.join(sync.key)} does not fill the destination's key",
                expected=f"the columns mapped to {', '.join(target.key)}",
                fix="map them under fields and name their columns as key",
            )
        )


def _options(document: Document[Sync], target: ObjectSpec, errors: list[DeclarationError]) -> dict[str, str]:
    given = document.value.options
    for name in given.keys() - target.options.keys():
        errors.append(
            document.error(
                ("options", name),
                "unknown option",
                expected="one of " + (", ".join(target.options) or "(none)"),
                fix=suggest(name, list(target.options)),
            )
        )
    chosen: dict[str, str] = {}
    for name, option in target.options.items():
        value = given.get(name, option.default)
        if value is None:
            errors.append(document.error(("options",), f'option "{name}" is missing', expected=option.description))
        elif option.pattern and not re.fullmatch(option.pattern, value):
            errors.append(document.error(("options", name), f'found "{value}"', expected=option.description))
        else:
            chosen[name] = value
    return chosen
