"""Events as YAML files: what an import or a proposal writes. Only what differs from the defaults is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cdp.tracking_plan import Event, Property

HEADER = "# yaml-language-server: $schema=../../docs/schemas/tracking_event.json\n"


class _Dumper(yaml.SafeDumper):
    """Properties are written in one line each, like in files made by hand."""


class _Flow(dict):
    """A mapping that is written in braces."""


_Dumper.add_representer(
    _Flow, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=True)
)


def event_yaml(event: Event) -> str:
    """The text of an event's file."""
    said = event.model_dump(exclude_defaults=True, exclude={"properties"})
    if event.properties:
        said["properties"] = {name: _property(spec) for name, spec in event.properties.items()}
    return HEADER + yaml.dump(said, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=160)


def write_events(events: list[Event], folder: Path, *, overwrite: bool) -> tuple[list[Path], list[Path]]:
    """(files written, files left as they were because they are there)."""
    folder.mkdir(parents=True, exist_ok=True)
    written, left = [], []
    for event in events:
        path = folder / f"{event.slug}.yml"
        if path.exists() and not overwrite:
            left.append(path)
            continue
        path.write_text(event_yaml(event), encoding="utf-8")
        written.append(path)
    return written, left


def _property(spec: Property) -> dict[str, Any]:
    said = spec.model_dump(exclude_defaults=True, exclude={"items", "properties"})
    if spec.items is None and not spec.properties:
        return _Flow(said)
    if spec.items is not None:
        said["items"] = _property(spec.items)
    if spec.properties:
        said["properties"] = {name: _property(inner) for name, inner in spec.properties.items()}
    return said
