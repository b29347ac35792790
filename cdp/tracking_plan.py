"""The tracking plan: `ingest/tracking_plan/<event>.yml` says what is tracked, where and why; `_plan.yml` how it is enforced.

What Segment Protocols, RudderStack's tracking plans and Snowplow's event specifications tell apart is kept: an event that
nobody planned, a property that nobody planned, a required one that is missing, a value that does not fit. What is different:
nothing is lost by any of it (see docs/tracking-plan.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from cdp.declarations import Declaration, Document, KeyPath, load, suggest
from cdp.errors import DeclarationError
from cdp.settings import Settings
from cdp.sources import PiiClass, Source, all_sources

EventType = Literal["track", "page", "screen", "identify", "group", "alias"]
PropertyType = Literal["string", "integer", "number", "boolean", "date", "datetime", "object", "array"]
Status = Literal["planned", "live", "deprecated"]
Purpose = Literal["necessary", "analytics", "ads", "marketing_email", "marketing_sms", "marketing_wechat"]
Action = Literal["allow", "flag", "drop", "block"]
ACTIONS: tuple[Action, ...] = ("allow", "flag", "drop", "block")  # from the mildest
SETTINGS_FILE = "_plan.yml"
# names of calls that carry no event name, as the conformed layer calls them
CALL_NAMES = {"page": "Page Viewed", "screen": "Screen Viewed", "identify": "Identified", "group": "Grouped"}
# a raw table with these columns holds events in Segment's shape, and can be enforced before staging
EVENT_COLUMNS = frozenset({"message_id", "type", "event", "name", "properties", "traits", "context"})


class Property(Declaration):
    """A property of an event, or a trait of identify and group. null counts as not there."""

    type: PropertyType
    description: str = Field(min_length=1)
    label_zh: str = Field("", description="Chinese name for the data dictionary.")
    required: bool = False
    values: list[str | int | float] = Field(default_factory=list, description="The only values allowed.")
    pattern: str | None = Field(None, description="Regular expression (RE2) that a text matches as a whole.")
    min: float | None = None
    max: float | None = None
    max_length: int | None = Field(None, gt=0, description="Characters of a text.")
    unit: str = ""
    pii: PiiClass = "none"
    example: str | int | float | bool | list[object] | dict[str, object] | None = None
    items: Property | None = Field(None, description="What each item of an array is.")
    properties: dict[str, Property] = Field(default_factory=dict, description="What an object holds.")
    on_violation: Action | None = Field(None, description="Instead of what the event, source or plan says.")

    @model_validator(mode="after")
    def _belongs_to_type(self) -> Property:
        for key, types in (
            ("pattern", ("string",)),
            ("max_length", ("string",)),
            ("values", ("string", "integer", "number")),
            ("min", ("integer", "number")),
            ("max", ("integer", "number")),
            ("items", ("array",)),
            ("properties", ("object",)),
        ):
            if getattr(self, key) not in (None, [], {}) and self.type not in types:
                raise ValueError(f"{key}: only for {' or '.join(types)}, not for {self.type}")
        if any(isinstance(v, str) != (self.type == "string") for v in self.values):
            raise ValueError(f"values: not all are of type {self.type}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max: no value fits")
        return self

    @field_validator("pattern")
    @classmethod
    def _can_be_compiled(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            import re2

            options = re2.Options()
            options.log_errors = False
            try:
                re2.compile(pattern, options)
            except re2.error:
                raise ValueError("is not a regular expression of RE2 (no look-around, no back references)") from None
        return pattern


class Enforcement(Declaration):
    """What happens to what breaks the plan. Left out: what the next wider place says (event, source, plan).

    allow: nothing; flag: recorded; drop: recorded, and the property is left out behind raw; block: recorded, and the event
    waits in quarantine.
    """

    unplanned_event: Literal["allow", "flag", "block"] | None = None
    unplanned_property: Literal["allow", "flag", "drop"] | None = None
    missing_property: Literal["allow", "flag", "block"] | None = None
    invalid_property: Action | None = None
    misplaced_event: Literal["allow", "flag", "block"] | None = Field(
        None, description="Not planned for this source, not live yet, deprecated, or a page that is not named."
    )

    def over(self, wider: Enforcement) -> Enforcement:
        """These settings, and those of a wider place where nothing is said here."""
        return Enforcement(**{**wider.model_dump(exclude_none=True), **self.model_dump(exclude_none=True)})


class Event(Declaration):
    """One event: what, where, when and why."""

    name: str = Field(description="As producers send it; of page, screen, identify, group the conformed name.")
    label_zh: str = Field("", description="Chinese name for the data dictionary.")
    type: EventType = "track"
    description: str = Field(min_length=1, description="When exactly it is sent.")
    why: str = Field(min_length=1, description="The business question it answers.")
    owner: str
    status: Status = "live"
    version: int = Field(1, ge=1, description="Grows with each change; `cdp tracking diff` says whether it breaks.")
    replaced_by: str | None = Field(None, description="Of a deprecated event: the one to use.")
    sources: list[str] = Field(min_length=1, description="Names of ingest/sources that send it.")
    where: list[str] = Field(default_factory=list, description="Pages, screens or places, in words or paths.")
    call_names: list[str] = Field(default_factory=list, description="Of page and screen: the names that there are.")
    purpose: Purpose = Field("analytics", description="Consent purpose it is collected for.")
    enforcement: Enforcement = Field(default_factory=Enforcement)
    expected_per_day: float | None = Field(None, gt=0, description="Roughly; the volume check starts from it.")
    properties: dict[str, Property] = Field(default_factory=dict, description="Of identify and group: the traits.")

    @model_validator(mode="after")
    def _fits_its_type(self) -> Event:
        called = CALL_NAMES.get(self.type)
        if called and self.name != called:
            raise ValueError(f'an event of type {self.type} is called "{called}"')
        if self.call_names and self.type not in ("page", "screen"):
            raise ValueError("call_names: only for page and screen")
        if self.replaced_by and self.status != "deprecated":
            raise ValueError("replaced_by: only for a deprecated event")
        return self

    @property
    def key(self) -> str:
        """`track:<name>` or the type: by this an event that arrives is found in the plan."""
        return f"track:{self.name}" if self.type == "track" else self.type

    @property
    def slug(self) -> str:
        """Name of its file and of its model."""
        return slug(self.name)


class Naming(Declaration):
    """Conventions that names follow; checked by `cdp tracking check`."""

    event: str = Field(r"[A-Z][A-Za-z0-9]*( [A-Z][a-z]+)*", description="RE2, for names of track events.")
    property: str = Field(r"[a-z][a-z0-9_]*", description="RE2, for properties.")
    trait: str = Field(r"[a-z][A-Za-z0-9_]*", description="RE2, for traits of identify and group.")
    max_length: int = Field(60, gt=0)
    last_words: list[str] = Field(default_factory=list, description="What a track event may end with, e.g. Viewed.")


class Monitoring(Declaration):
    """Limits of the checks in Dagster."""

    violation_rate: float = Field(0.02, ge=0, le=1, description="Share of a day's events that may break the plan.")
    volume_factor: float = Field(3, gt=1, description="How many times more or less than usual is an anomaly.")
    volume_days: int = Field(14, ge=3, description="Days that say what is usual.")
    volume_at_least: int = Field(20, ge=1, description="Events rarer than this a day are not judged by volume.")
    stopped_after_days: int = Field(3, ge=1, description="Days without a live event that used to come daily.")


class SourcePlan(Declaration):
    """What holds for one source."""

    enforcement: Enforcement = Field(default_factory=Enforcement)


class PlanSettings(Declaration):
    """ingest/tracking_plan/_plan.yml."""

    name: str
    owner: str
    description: str
    naming: Naming = Field(default_factory=Naming)
    enforcement: Enforcement
    sources: dict[str, SourcePlan] = Field(default_factory=dict)
    monitoring: Monitoring = Field(default_factory=Monitoring)

    @model_validator(mode="after")
    def _says_everything(self) -> PlanSettings:
        silent = [k for k in Enforcement.model_fields if getattr(self.enforcement, k) is None]
        if silent:
            raise ValueError(f"enforcement: the plan itself has to say all of it; missing: {', '.join(silent)}")
        return self


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


def slug(name: str) -> str:
    """snake_case of an event's name: `Product Viewed` -> `product_viewed`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


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
