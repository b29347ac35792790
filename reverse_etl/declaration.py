"""The shape of `syncs/<name>.yml`."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cdp.declarations import Declaration
from reverse_etl.destination_spec import FieldName, FieldType, Hash, Mode, Name, Normalisation

Purpose = Literal["marketing_email", "marketing_sms", "marketing_wechat", "ads", "analytics", "service"]
Scalar = str | int | float | bool


class FileSource(Declaration):
    """Rows of Parquet or CSV files instead of a model."""

    file: str = Field(
        description="Path below CDP_LANDING_DIR, * for several; ends in .parquet or .csv (with a header)."
    )
    columns: dict[Name, FieldType] = Field(min_length=1, description="Columns that the sync may use, with their types.")

    @field_validator("file")
    @classmethod
    def _inside(cls, value: str) -> str:
        if value.startswith("/") or ".." in value.split("/") or not value.endswith((".parquet", ".csv")):
            raise ValueError("a path below the landing folder that ends in .parquet or .csv")
        return value


# Columns that every forwarded event has, with the kind of field each fills without a cast.
EVENT_COLUMNS: dict[str, FieldType] = {
    "event_key": "text",
    "event_id": "text",
    "event_type": "text",
    "event_name": "text",
    "occurred_at": "datetime",
    "received_at": "datetime",
    "source": "text",
    "channel": "text",
    "person_id": "text",
    "email": "text",
    "phone": "text",
    "user_id": "text",
    "page_path": "text",
    "page_url": "text",
    "referrer": "text",
    "utm_source": "text",
    "utm_medium": "text",
    "utm_campaign": "text",
    "product_id": "text",
    "order_id": "text",
    "amount": "number",
    "currency": "text",
    "value": "number",
    "properties": "text",
}


class EventSource(Declaration):
    """Chosen events of the tracking plan instead of a model, one row an event: event forwarding."""

    events: list[str] = Field(min_length=1, description="Names of the tracking plan, e.g. Order Completed.")
    since: date = Field(
        description="Events that happened before this day are not sent: a new sync does not send history."
    )
    sources: list[Name] = Field(default=[], description="Only events of these sources, e.g. collector; empty: all.")
    properties: dict[Name, Literal["text", "integer", "number", "boolean", "date", "datetime"]] = Field(
        default={}, description="Properties of the events that the sync may use as columns, with their types."
    )
    in_violation: Literal["leave_out", "send"] = Field(
        "leave_out", description="Events that break the tracking plan, and were not blocked by it."
    )

    @field_validator("properties")
    @classmethod
    def _are_no_columns(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(value.keys() & EVENT_COLUMNS.keys()):
            raise ValueError(f"properties without {', '.join(taken)}: every event has a column of that name")
        return value


class FieldMap(Declaration):
    """Where a destination field gets its value: a column, a template, or a fixed value."""

    column: Name | None = Field(None, description="Column of the source.")
    template: str | None = Field(None, description="Text with {column} or {column|filter|default:text} in it.")
    value: Scalar | None = Field(None, description="The same for all rows.")
    cast: FieldType | None = Field(None, description="Convert first; a value that cannot be converted is invalid.")
    default: Scalar | None = Field(None, description="Sent where there is no value.")
    nulls: Literal["clear", "omit"] = Field("clear", description="Null empties the field, or leaves it as it is.")
    write: Literal["always", "if_empty"] = Field(
        "always", description="`if_empty` leaves a field alone that has a value at the destination."
    )
    normalise: Normalisation | None = Field(None, description="Instead of the destination's own normalisation.")
    hash: Hash | None = Field(None, description="Instead of the destination's own hash.")

    @model_validator(mode="after")
    def _one_origin(self) -> FieldMap:
        if sum(origin is not None for origin in (self.column, self.template, self.value)) != 1:
            raise ValueError("one of column, template and value")
        return self


class Limits(Declaration):
    """What one run may do. A run that would change more than the blast radius stops before it sends anything."""

    max_rows: int = Field(1_000_000, ge=1, description="Rows in the source at most.")
    max_change_percent: float = Field(30, ge=0, le=100, description="Updates and deletes, of what was acknowledged.")
    max_deletes: int = Field(1_000, ge=0, description="Deletes and merges in one run at most.")
    max_invalid_percent: float = Field(20, ge=0, le=100, description="Invalid rows, of the source's rows.")
    min_source_percent: float = Field(
        50, ge=0, le=100, description="In `mirror`: rows the source must have, of what was acknowledged, to delete any."
    )
    min_rows_for_percent: int = Field(100, ge=0, description="Percentages are not judged below so many rows.")
    calls_per_second: float | None = Field(None, gt=0, description="Slower than the destination allows.")
    max_seconds: float | None = Field(
        None, gt=0, description="After so long no further call begins; the next run goes on."
    )


class Alerts(Declaration):
    """When somebody is told, and again when it is over. Where: CDP_ALERTS__WEBHOOK_URL, __SLACK_URL, __SMTP_URL."""

    to: list[Literal["webhook", "slack", "email"]] = Field(min_length=1)
    address: str | None = Field(None, description="Of e-mails; without it the owner's.")
    failed_run: bool = Field(True, description="A run failed, stopped at a limit, or crashed.")
    rejected_percent: float | None = Field(5, ge=0, le=100, description="Rejected and invalid rows, of those planned.")
    full_resync: bool = Field(True, description="Acknowledged rows are sent again, with the reason.")
    max_seconds: float | None = Field(None, gt=0, description="The run took longer.")
    size_deviation_percent: float | None = Field(
        None, gt=0, description="The source's size differs by more from the mean of the last runs."
    )


class Sync(Declaration):
    """`syncs/<name>.yml`."""

    name: Name
    description: str = Field(min_length=1)
    owner: str = Field(min_length=1, description="Who is asked when it fails.")
    source: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] | FileSource | EventSource = Field(
        description="A model named snd_..., or files, or events."
    )
    destination: Name
    account: Name | None = Field(None, description="Another account: settings CDP_<DESTINATION>_<ACCOUNT>__<KEY>.")
    object: Name
    key: list[Name] = Field(min_length=1, description="Column, or columns, that identify a row of the source.")
    person: Name | None = Field(None, description="Column with the person_id: for consent, caps and merges.")
    merges: Name | None = Field(
        None, description="A model named snd_... with the columns person_id and merged_into; see docs/activation.md."
    )
    mode: Mode = Field("upsert", description="`mirror` also removes what it sent before and the source has no more.")
    fields: dict[FieldName, FieldMap] = Field(min_length=1, description="Destination field: column of the source.")
    consent_purpose: Purpose = Field(description="Must be the purpose that the source model filters on.")
    in_doubt: Literal["resend", "read_back", "hold"] | None = Field(
        None, description="What to do when it is unknown whether a row arrived; else as the destination allows."
    )
    schedule: str = Field(description="Cron, five fields, UTC.")
    live: bool = Field(False, description="`cdp live` also runs it after each micro-batch, besides its schedule.")
    limits: Limits = Limits()
    alerts: Alerts | None = None
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

    @field_validator("source", "merges")
    @classmethod
    def _may_leave(cls, value: str | FileSource | EventSource | None) -> str | FileSource | EventSource | None:
        if isinstance(value, str) and not value.startswith("snd_"):
            raise ValueError("a model named snd_<destination>__<object>; only those may leave the warehouse")
        return value

    @model_validator(mode="after")
    def _person_is_known(self) -> Sync:
        if self.person is None and self.consent_purpose != "service":
            raise ValueError("`person`, the column by which consent is checked when a row is sent")
        if self.merges is not None and self.person is None:
            raise ValueError("`person` beside `merges`")
        return self

    @model_validator(mode="after")
    def _events_are_appended(self) -> Sync:
        if isinstance(self.source, EventSource) and (self.mode != "append" or self.key != ["event_key"]):
            raise ValueError("mode append and key event_key with events: each event is sent once")
        return self

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        from croniter import croniter  # type: ignore[import-untyped]

        if len(value.split()) != 5 or not croniter.is_valid(value):
            raise ValueError('a cron line of five fields, as in "15 * * * *"')
        return value
