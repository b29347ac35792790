"""Parts of the check of a sync (`catalog.resolve`): purpose, key, names, options, and where a field's value comes from.

Each adds what is wrong to `errors`, so that all of it is told at once.
"""

from __future__ import annotations

import re

from cdp.declarations import Document, suggest
from cdp.errors import DeclarationError
from reverse_etl import contract, template
from reverse_etl.declaration import FieldMap, Sync
from reverse_etl.destination_spec import FieldType, ObjectSpec

# Purposes that allow a message on a channel.
_CHANNEL_PURPOSES = {
    "email": ("marketing_email", "service"),
    "sms": ("marketing_sms", "service"),
    "wechat": ("marketing_wechat", "service"),
    "push": ("marketing_email", "marketing_sms", "marketing_wechat", "service"),
    "chat": ("marketing_email", "marketing_sms", "marketing_wechat", "service"),
}


def check_purpose(
    document: Document[Sync], source: contract.Contract, target: ObjectSpec, errors: list[DeclarationError]
) -> None:
    """The purpose fits the channel and the source, and the person's column is there."""
    purpose = document.value.consent_purpose
    if target.message and purpose not in _CHANNEL_PURPOSES[target.message]:
        errors.append(
            document.error(
                ("consent_purpose",),
                f"is {purpose}, and the object is a message by {target.message}",
                expected="one of " + ", ".join(_CHANNEL_PURPOSES[target.message]),
            )
        )
    person = document.value.person
    if person is not None and person not in source.columns:
        errors.append(
            document.error(
                ("person",),
                f'{source.model} has no column "{person}"',
                expected="one of " + ", ".join(source.columns),
                fix=suggest(person, list(source.columns)),
            )
        )
    if document.value.consent_purpose != source.consent_purpose:
        errors.append(
            document.error(
                ("consent_purpose",),
                f'is "{document.value.consent_purpose}"',
                expected=f'"{source.consent_purpose}", the purpose {source.model} filters on',
                fix="send another model, or correct the purpose in the one place where it is wrong",
            )
        )


def kind_of_origin(
    document: Document[Sync],
    mapped: FieldMap,
    keys: tuple[str, ...],
    source: contract.Contract,
    errors: list[DeclarationError],
) -> FieldType | None:
    """Kind of value that a field's origin has; None when it is wrong."""
    if (mapped.normalise or mapped.hash) and (mapped.cast or "text") != "text":
        errors.append(document.error(keys, "normalise and hash work on texts", expected="cast: text"))
    if mapped.value is not None:
        kinds: dict[type, FieldType] = {bool: "boolean", int: "integer", float: "number", str: "text"}
        return kinds[type(mapped.value)]
    try:
        named = [mapped.column] if mapped.column else template.columns(mapped.template or "")
    except ValueError as error:
        errors.append(document.error((*keys, "template"), f"has {error}"))
        return None
    for column in named:
        if column not in source.columns:
            place = "column" if mapped.column else "template"
            errors.append(
                document.error(
                    (*keys, place),
                    f'{source.model} has no column "{column}"',
                    expected="one of " + ", ".join(source.columns),
                    fix=suggest(str(column), list(source.columns)),
                )
            )
            return None
        if mapped.template and source.columns[str(column)] == "list":
            errors.append(document.error((*keys, "template"), f"{column} is a list", expected="columns of one value"))
            return None
    return source.columns[mapped.column] if mapped.column else "text"


def check_key(
    document: Document[Sync], target: ObjectSpec, source: contract.Contract, errors: list[DeclarationError]
) -> None:
    """The key's columns are there, and fill the destination's key."""
    sync = document.value
    by_column = {mapped.column: name for name, mapped in sync.fields.items() if mapped.column}
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


def check_names(document: Document[Sync], errors: list[DeclarationError]) -> None:
    """No two fields differ only in case."""
    seen: dict[str, str] = {}
    for name in document.value.fields:
        if (other := seen.setdefault(name.lower(), name)) != name:
            errors.append(
                document.error(("fields", name), f"differs from {other} only in case", expected="one of the two")
            )


def chosen_options(document: Document[Sync], target: ObjectSpec, errors: list[DeclarationError]) -> dict[str, str]:
    """The object's options, with their defaults."""
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
