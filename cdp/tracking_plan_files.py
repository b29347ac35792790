"""What the files of `ingest/tracking_plan` may say: an event with its properties, and the plan's own settings."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from cdp.declarations import Declaration
from cdp.sources import PiiClass

EventType = Literal["track", "page", "screen", "identify", "group", "alias"]
PropertyType = Literal["string", "integer", "number", "boolean", "date", "datetime", "object", "array"]
Status = Literal["planned", "live", "deprecated"]
Purpose = Literal["necessary", "analytics", "ads", "marketing_email", "marketing_sms", "marketing_wechat"]
Action = Literal["allow", "flag", "drop", "block"]
ACTIONS: tuple[Action, ...] = ("allow", "flag", "drop", "block")  # from the mildest
# names of calls that carry no event name, as the conformed layer calls them
CALL_NAMES = {"page": "Page Viewed", "screen": "Screen Viewed", "identify": "Identified", "group": "Grouped"}


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
    expected_per_day: float | None = Field(
        None, gt=0, description="Roughly; what is usual until the event has a history."
    )
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


def slug(name: str) -> str:
    """snake_case of an event's name: `Product Viewed` -> `product_viewed`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
