"""The shapes of `syncs/<name>.yml` and `destinations/<name>/spec.yml`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cdp.declarations import Declaration

FieldType = Literal["text", "integer", "number", "boolean", "date", "datetime", "list"]
Purpose = Literal["marketing_email", "marketing_sms", "marketing_wechat", "ads", "analytics", "service"]
Mode = Literal["upsert", "mirror"]
Operation = Literal["upsert", "delete"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=80)]
# A field's name goes into JSON paths and CSV headers, so it is kept to what needs no escaping there.
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=100)]
Scalar = str | int | float | bool


def _compiles(pattern: str | None) -> str | None:
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"a regular expression ({error})") from None
    return pattern


class FieldRule(Declaration):
    """What a destination accepts in one field. Rows that break a rule are kept back as invalid."""

    type: FieldType = Field(description="Type the destination stores.")
    description: str = ""
    required: bool = Field(False, description="A row without a value is invalid.")
    max_length: int | None = Field(None, ge=1, description="Longest accepted text, in characters.")
    pattern: str | None = Field(None, description="Regular expression (RE2) that the whole text must match.")
    values: list[str] | None = Field(None, description="The only accepted texts.")
    pii: bool = Field(True, description="Hide values of the field in plans. Only texts are ever hidden.")

    _pattern = field_validator("pattern")(_compiles)


class OtherFields(Declaration):
    """Fields that are not listed but accepted: custom properties of a CRM, columns of a file."""

    prefix: str = Field("", description="What such names must begin with, so that a typo is no new field.")
    pii: bool = True


class Option(Declaration):
    """A setting of the object that a sync may give under `options:`."""

    description: str
    default: str | None = Field(None, description="Used when the sync is silent; without it the option is required.")
    pattern: str | None = None

    _pattern = field_validator("pattern")(_compiles)


class ObjectSpec(Declaration):
    """One kind of object that a destination takes."""

    description: str
    operations: list[Operation] = Field(min_length=1, description="What can be done to it; `mirror` needs `delete`.")
    key: list[FieldName] = Field(default=[], description="Fields that identify an object; empty: the sync chooses.")
    batch_size: int = Field(ge=1, description="Rows in one call at most (calls, where `group_by` is set).")
    delivery: Literal["rows", "snapshot"] = Field(
        "rows", description="`rows`: changed rows are sent; `snapshot`: any change sends the whole set again."
    )
    group_by: list[FieldName] = Field(default=[], description="Rows with the same values go into one call.")
    fields: dict[FieldName, FieldRule] = Field(default={})
    other_fields: OtherFields | None = None
    options: dict[Name, Option] = Field(default={})

    @model_validator(mode="after")
    def _names_exist(self) -> ObjectSpec:
        for name in [*self.key, *self.group_by]:
            if name not in self.fields:
                raise ValueError(f"key and group_by to name fields of the object; {name} is none")
        return self


class Retry(Declaration):
    """How long a call is repeated before its rows are given up for this run."""

    attempts: int = Field(6, ge=1, le=20)
    first_wait_seconds: float = Field(0.5, gt=0)
    longest_wait_seconds: float = Field(30, gt=0, description="A longer Retry-After ends the run instead.")
    budget_seconds: float = Field(180, gt=0)


class DestinationSpec(Declaration):
    """`destinations/<name>/spec.yml`."""

    name: Name
    description: str
    contract: str = Field(description="Where the vendor's contract is written down.")
    connection: list[Name] = Field(description="Keys of CDP_<NAME>__<KEY> that must be set.")
    idempotent: bool = Field(description="Sending a row twice leaves the same state as sending it once.")
    timeout_seconds: float = Field(30, gt=0)
    retry: Retry = Retry()
    objects: dict[Name, ObjectSpec] = Field(min_length=1)


class FieldMap(Declaration):
    """Where a destination field gets its value."""

    column: Name = Field(description="Column of the source model.")
    cast: FieldType | None = Field(None, description="Convert first; a value that cannot be converted is invalid.")
    default: Scalar | None = Field(None, description="Sent where the column is null.")
    nulls: Literal["clear", "omit"] = Field("clear", description="Null empties the field, or leaves it as it is.")


class Limits(Declaration):
    """The blast radius: a run that would change more stops before it sends anything."""

    max_rows: int = Field(1_000_000, ge=1, description="Rows in the source at most.")
    max_change_percent: float = Field(30, ge=0, le=100, description="Updates and deletes, of what was acknowledged.")
    max_deletes: int = Field(1_000, ge=0, description="Deletes in one run at most.")
    max_invalid_percent: float = Field(20, ge=0, le=100, description="Invalid rows, of the source's rows.")
    min_rows_for_percent: int = Field(100, ge=0, description="Percentages are not judged below so many rows.")


class Sync(Declaration):
    """`syncs/<name>.yml`."""

    name: Name
    description: str = Field(min_length=1)
    owner: str = Field(min_length=1, description="Who is asked when it fails.")
    source: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = Field(description="A model named snd_...")
    destination: Name
    object: Name
    key: list[Name] = Field(min_length=1, description="Column, or columns, that identify a row of the source.")
    mode: Mode = Field("upsert", description="`mirror` also removes what it sent before and the source has no more.")
    fields: dict[FieldName, FieldMap] = Field(min_length=1, description="Destination field: column of the source.")
    consent_purpose: Purpose = Field(description="Must be the purpose that the source model filters on.")
    schedule: str = Field(description="Cron, five fields, UTC.")
    limits: Limits = Limits()
    options: dict[Name, str] = Field(default={}, description="Settings of the object; see the spec.")

    @field_validator("key", mode="before")
    @classmethod
    def _one_key(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("fields", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {field: {"column": to} if isinstance(to, str) else to for field, to in value.items()}

    @field_validator("source")
    @classmethod
    def _may_leave(cls, value: str) -> str:
        if not value.startswith("snd_"):
            raise ValueError("a model named snd_<destination>__<object>; only those may leave the warehouse")
        return value

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        from croniter import croniter  # type: ignore[import-untyped]

        if len(value.split()) != 5 or not croniter.is_valid(value):
            raise ValueError('a cron line of five fields, as in "15 * * * *"')
        return value
