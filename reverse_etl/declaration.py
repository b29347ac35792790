"""The shape of `syncs/<name>.yml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from cdp.declarations import Declaration
from reverse_etl.destination_spec import FieldName, FieldType, Mode, Name

Purpose = Literal["marketing_email", "marketing_sms", "marketing_wechat", "ads", "analytics", "service"]
Scalar = str | int | float | bool


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
