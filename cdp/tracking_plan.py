"""The tracking plan: `ingest/tracking_plan/<event>.yml` says what is tracked, where and why; `_plan.yml` how it is enforced.

What Segment Protocols, RudderStack's tracking plans and Snowplow's event specifications tell apart is kept: an event that
nobody planned, a property that nobody planned, a required one that is missing, a value that does not fit. What is different:
nothing is lost by any of it (see docs/tracking-plan.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cdp.declarations import Document, KeyPath, load, suggest
from cdp.errors import DeclarationError
from cdp.settings import Settings
from cdp.sources import Source, all_sources
from cdp.tracking_plan_files import (
    ACTIONS,
    CALL_NAMES,
    Action,
    Enforcement,
    Event,
    EventType,
    Monitoring,
    Naming,
    PlanSettings,
    Property,
    PropertyType,
    Purpose,
    SourcePlan,
    Status,
    slug,
)

__all__ = [
    "ACTIONS",
    "CALL_NAMES",
    "EVENT_COLUMNS",
    "SETTINGS_FILE",
    "Action",
    "Enforcement",
    "Event",
    "EventType",
    "Monitoring",
    "Naming",
    "Plan",
    "PlanSettings",
    "Property",
    "PropertyType",
    "Purpose",
    "SourcePlan",
    "Status",
    "event_sources",
    "has_plan",
    "is_event_table",
    "load_plan",
    "plan_folder",
    "slug",
    "walk",
]

SETTINGS_FILE = "_plan.yml"
# a raw table with these columns holds events in Segment's shape, and can be enforced before staging
EVENT_COLUMNS = frozenset({"message_id", "type", "event", "name", "properties", "traits", "context"})


@dataclass(frozen=True)
class Plan:
    """The plan as a whole: its settings, and events by key (`track:<name>` or the type of the call)."""

    settings: PlanSettings
    events: dict[str, Event]
    documents: tuple[Document[Event], ...] = ()

    def enforcement(self, event: Event | None, source: str | None) -> Enforcement:
        """What holds for an event of a source: the event says most, then the source, then the plan."""
        declared = self.settings.sources.get(source or "")
        wider = declared.enforcement.over(self.settings.enforcement) if declared else self.settings.enforcement
        return event.enforcement.over(wider) if event else wider


def plan_folder(settings: Settings) -> Path:
    """Where the plan stands."""
    return settings.project_root / "ingest" / "tracking_plan"


def is_event_table(source: Source, table: str) -> bool:
    """Whether a raw table holds events in Segment's shape."""
    return set(source.tables[table].columns) >= EVENT_COLUMNS


def event_sources(sources: dict[str, Document[Source]]) -> dict[str, list[str]]:
    """Tables in Segment's shape by source."""
    found = {n: [t for t in d.value.tables if is_event_table(d.value, t)] for n, d in sources.items()}
    return {n: tables for n, tables in found.items() if tables}


def has_plan(settings: Settings) -> bool:
    """Whether there is a tracking plan at all."""
    return (plan_folder(settings) / SETTINGS_FILE).exists()


def load_plan(settings: Settings, folder: Path | None = None) -> Plan:
    """Read and check the plan. Raises one DeclarationError that lists everything that is wrong in it."""
    folder = folder or plan_folder(settings)
    head = load(folder / SETTINGS_FILE, PlanSettings)
    documents: list[Document[Event]] = []
    errors: list[DeclarationError] = []
    for path in sorted(folder.glob("*.yml")):
        if path.name == SETTINGS_FILE:
            continue
        try:
            documents.append(load(path, Event))
        except DeclarationError as error:
            errors.append(error)
    sources = all_sources(settings)
    for document in documents:
        errors += [document.error(*found) for found in _wrong_in(document, head.value)]
        errors += _wrong_sources(document, [*sources, *head.value.sources])
    seen: dict[str, Document[Event]] = {}
    for document in documents:
        first = seen.setdefault(document.value.key, document)
        if first is not document:
            errors.append(
                document.error(("name",), f'"{document.value.name}" is planned twice, in {first.path.name} too')
            )
    errors += _unenforceable(documents, head, sources)
    if errors:
        raise DeclarationError.all_of(errors)
    return Plan(head.value, {d.value.key: d.value for d in documents}, tuple(documents))


def walk(
    properties: dict[str, Property], parent: str = "", *, with_items: bool = False
) -> Iterator[tuple[str, Property]]:
    """Every property with its path: `price`, `products`, `products[].price`; `with_items`: also `products[]`."""
    for name, spec in properties.items():
        path = f"{parent}{name}"
        yield path, spec
        inner = spec
        while inner.items is not None:
            inner, path = inner.items, f"{path}[]"
            if with_items:
                yield path, inner
        yield from walk(inner.properties, f"{path}.", with_items=with_items)


def _wrong_in(document: Document[Event], plan: PlanSettings) -> Iterator[tuple[KeyPath, str]]:
    import re2

    event, naming = document.value, plan.naming
    if document.path.stem != event.slug:
        yield ("name",), f'found "{event.name}": its file is called {event.slug}.yml'
    if event.type == "track":
        if not re2.fullmatch(naming.event, event.name):
            yield ("name",), f'"{event.name}" is not written as the plan wants events: {naming.event}'
        if naming.last_words and event.name.split()[-1] not in naming.last_words:
            yield ("name",), f'"{event.name}" ends with none of: {", ".join(naming.last_words)}'
    if len(event.name) > naming.max_length:
        yield ("name",), f"is longer than {naming.max_length} characters"
    wanted = naming.trait if event.type in ("identify", "group") else naming.property
    for path, _ in walk(event.properties):
        name = path.rsplit(".", 1)[-1]
        if not re2.fullmatch(wanted, name) or re2.search(r'["\\*\[\]]', name):
            yield ("properties", *path.split(".")[:1]), f'"{path}" is not written as the plan wants: {wanted}'
        if len(name) > naming.max_length:
            yield ("properties", *path.split(".")[:1]), f"is longer than {naming.max_length} characters"


def _wrong_sources(document: Document[Event], known: list[str]) -> list[DeclarationError]:
    expected = f"a name in ingest/sources, or an input of the collector listed in {SETTINGS_FILE} under sources"
    return [
        document.error(("sources",), f'no source "{name}"', expected=expected, fix=suggest(name, known))
        for name in document.value.sources
        if name not in known
    ]


def _unenforceable(
    documents: list[Document[Event]], head: Document[PlanSettings], sources: dict[str, Document[Source]]
) -> Iterator[DeclarationError]:
    """An event that only comes in another shape than Segment's is checked, but staging has taken it by then."""
    enforceable = event_sources(sources)
    for document in documents:
        event = document.value
        asked = set(event.enforcement.model_dump(exclude_none=True).values())
        asked |= {p.on_violation for p in event.properties.values()}
        only = {n for n in event.sources if n in sources and n not in enforceable}
        if asked & {"drop", "block"} and only == set(event.sources):
            yield document.error(
                ("enforcement",),
                "drop and block need events in Segment's shape",
                expected="allow or flag, for " + ", ".join(event.sources),
            )
