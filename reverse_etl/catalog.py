"""Finds syncs, and checks each against its source's contract and its destination's spec before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cdp.declarations import Document, load, suggest
from cdp.errors import DeclarationError
from cdp.settings import Settings
from reverse_etl import contract, sync_checks
from reverse_etl.declaration import EventSource, FieldMap, FileSource, Sync
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
    source: contract.Contract
    merges: contract.Contract | None
    # What the ledger, the locks and the logs call it: its name, and `name@destination` when it is sent elsewhere.
    ledger_name: str

    @property
    def settings_name(self) -> str:
        """Whose settings it uses: CDP_<this>__<KEY>."""
        return f"{self.spec.name}_{self.sync.account}" if self.sync.account else self.spec.name

    @property
    def in_doubt(self) -> str:
        """What is done with rows whose arrival is unknown: resend, same_key, read_back or hold."""
        if self.sync.in_doubt:
            return self.sync.in_doubt
        if self.object.repeat == "harmless":
            return "resend"
        if self.object.repeat == "idempotency_key":
            return "same_key"
        return "read_back" if self.object.reads_back else "hold"


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


def resolve(
    name: str, settings: Settings, *, destination: str | None = None, account: str | None = None
) -> ResolvedSync:
    """Read and check one sync. Raises DeclarationError listing everything that is wrong with it.

    `destination` and `account` replace the declared ones; such a sync has a state of its own.
    """
    names = sync_names(settings)
    if name not in names:
        raise DeclarationError(
            f'there is no sync "{name}"',
            where=str(_folder(settings)),
            expected="one of " + ", ".join(names) if names else "at least one file",
            fix=suggest(name, names) or f"add {name}.yml",
        )
    document = load(_folder(settings) / f"{name}.yml", Sync)
    if destination is not None or account is not None:
        elsewhere = {"destination": destination or document.value.destination, "account": account}
        document = replace(document, value=document.value.model_copy(update=elsewhere))
    sync = document.value
    if sync.name != name:
        raise document.error(("name",), f'is "{sync.name}"', expected=f'the file\'s name, "{name}"')
    spec, target = _target(document)
    source = _source(document, settings)
    errors: list[DeclarationError] = []
    sync_checks.check_purpose(document, source, target, errors)
    merges = _merges(document, settings, errors)
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
    sync_checks.check_key(document, target, source, errors)
    options = sync_checks.chosen_options(document, target, errors)
    sync_checks.check_names(document, errors)
    if errors:
        raise DeclarationError("\n".join(error.render() for error in errors))
    # Sorted, so that the order in the file is not part of what was sent.
    fields.sort(key=lambda field: field.name)
    elsewhere_name = (
        "" if destination is None and account is None else f"{name}@{spec.name}{'_' + account if account else ''}"
    )
    return ResolvedSync(sync, spec, target, tuple(fields), options, source, merges, elsewhere_name or name)


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
    written = document.value.source
    if isinstance(written, FileSource):
        return contract.of_file(written, document.value.consent_purpose, settings)
    if isinstance(written, EventSource):
        # The tracking plan and its sources, which take longer to import than a small plan takes.
        from reverse_etl.events import of_events

        return of_events(document, written, settings)
    return _model(document, ("source",), written, settings)


def _model(document: Document[Sync], keys: tuple[str, ...], name: str, settings: Settings) -> contract.Contract:
    known = contract.names(settings)
    if name not in known:
        raise document.error(
            keys,
            f'there is no contract of a model "{name}"',
            expected="one of " + ", ".join(known) if known else f"{name}.yml beside the model",
            fix=suggest(name, known),
        )
    return contract.read(name, settings)


def _merges(document: Document[Sync], settings: Settings, errors: list[DeclarationError]) -> contract.Contract | None:
    name = document.value.merges
    if name is None:
        return None
    try:
        found = _model(document, ("merges",), name, settings)
    except DeclarationError as error:
        errors.append(error)
        return None
    missing = {"person_id", "merged_into"} - found.columns.keys()
    if missing:
        errors.append(
            document.error(
                ("merges",), f"{name} has no column {', '.join(sorted(missing))}", expected="person_id and merged_into"
            )
        )
    return found


def _field(
    document: Document[Sync], name: str, target: ObjectSpec, source: contract.Contract, errors: list[DeclarationError]
) -> MappedField | None:
    mapped, keys = document.value.fields[name], ("fields", name)
    column_type = sync_checks.kind_of_origin(document, mapped, keys, source, errors)
    if column_type is None:
        return None
    if mapped.write == "if_empty" and not target.reads_back:
        errors.append(
            document.error(
                (*keys, "write"),
                f"{document.value.destination} cannot be asked what stands in a field of {document.value.object}",
                expected="always",
            )
        )
    kind = mapped.cast or column_type
    rule, others = target.fields.get(name), target.other_fields
    if rule is None and others is not None and name.startswith(others.prefix):
        rule = FieldRule(type=kind, pii=others.pii, normalise=mapped.normalise, hash=mapped.hash)
        return MappedField(name, mapped, rule, column_type, True)
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
                f"{mapped.column or 'the value'} is {kind}, the field takes {rule.type}",
                expected=rule.type,
                fix=f"add `cast: {rule.type}`",
            )
        )
        return None
    rule = rule.model_copy(update={"normalise": mapped.normalise or rule.normalise, "hash": mapped.hash or rule.hash})
    return MappedField(name, mapped, rule, column_type, False)
