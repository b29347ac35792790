"""The shape of `destinations/<name>/spec.yml`: what a destination takes, in which portions, and how it says no."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cdp.declarations import Declaration

FieldType = Literal["text", "integer", "number", "boolean", "date", "datetime", "list"]
# What a field's values are cast to in the warehouse.
SQL_TYPES: dict[FieldType, str] = {
    "text": "varchar",
    "integer": "bigint",
    "number": "double",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamp",
    "list": "varchar[]",
}
Mode = Literal["upsert", "update_only", "create_only", "mirror", "append", "delete"]
# What a refusal means, whatever the vendor calls it. `cdp sync errors` groups by it.
ErrorClass = Literal[
    "invalid_value",  # the row's content; it will be refused until it changes
    "not_found",  # what the row refers to does not exist there
    "duplicate",  # it exists already, or twice
    "no_consent",  # the person has unsubscribed or is suppressed there
    "quota",  # a cap of the account or of the recipient
    "schema",  # a field or object of the destination is missing
    "permission",  # the credentials may not do this
    "rate_limit",
    "unavailable",
    "unknown",
]
Normalisation = Literal[
    "trim",
    "lower",
    "upper",
    "digits",
    "email",
    "email_google",
    "email_meta",
    "phone_e164",
    "phone_digits",
    "name",
    "name_meta",
    "name_meta_5",
    "initial_meta",
    "birth_day",
    "birth_month",
    "birth_year",
    "country",
    "postal_code",
]
Hash = Literal["sha256", "md5"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=80)]
# A field's name goes into JSON paths and CSV headers, so it is kept to what needs no escaping there.
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=100)]


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
    normalise: Normalisation | None = Field(
        None, description="Done before the rules are checked; reverse_etl/normalise.py."
    )
    hash: Hash | None = Field(None, description="Hexadecimal digest, after normalising; what is hashed already passes.")

    _pattern = field_validator("pattern")(_compiles)

    @model_validator(mode="after")
    def _texts_only(self) -> FieldRule:
        if (self.normalise or self.hash) and self.type != "text":
            raise ValueError("normalise and hash to stand on a field of type text only")
        return self


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


class BatchLimits(Declaration):
    """What one call may hold."""

    rows: int = Field(ge=1, description="Rows at most (groups, where `group_by` is set).")
    bytes: int | None = Field(None, ge=1, description="Bytes of the rows' payloads at most, as JSON.")
    group_by: list[FieldName] = Field(default=[], description="Rows with the same values are never torn apart.")


class Cost(Declaration):
    """What sending costs, for the plan's estimate."""

    unit: str = Field(description="What is counted, e.g. data points.")
    per: Literal["call", "row", "field"]


class ObjectSpec(Declaration):
    """One kind of object that a destination takes."""

    description: str
    modes: list[Mode] = Field(min_length=1, description="What a sync may do with it.")
    key: list[FieldName] = Field(default=[], description="Fields that identify an object; empty: the sync chooses.")
    batch: BatchLimits
    delivery: Literal["rows", "snapshot"] = Field(
        "rows", description="`rows`: changed rows are sent; `snapshot`: any change sends the whole set again."
    )
    repeat: Literal["harmless", "idempotency_key", "harmful"] = Field(
        description="What sending a row twice does: nothing (an upsert); nothing, as the batch's key is recognised; harm."
    )
    idempotency_hours: float | None = Field(None, gt=0, description="How long the destination remembers a key.")
    reads_back: bool = Field(False, description="The client has `read_back`: it can say what stands there for a row.")
    merges: bool = Field(False, description="The client has `merge`: one object can be merged into another.")
    message: Literal["email", "sms", "wechat", "push", "chat"] | None = Field(
        None, description="A row reaches a person at once: frequency caps and quiet hours of the channel apply."
    )
    cost: Cost | None = None
    fields: dict[FieldName, FieldRule] = Field(default={})
    other_fields: OtherFields | None = None
    options: dict[Name, Option] = Field(default={})

    @model_validator(mode="after")
    def _consistent(self) -> ObjectSpec:
        for name in [*self.key, *self.batch.group_by]:
            if name not in self.fields:
                raise ValueError(f"key and group_by to name fields of the object; {name} is none")
        if self.idempotency_hours is not None and self.repeat != "idempotency_key":
            raise ValueError("idempotency_hours only with `repeat: idempotency_key`")
        return self

    @property
    def deletes(self) -> bool:
        """The client has `delete`."""
        return "mirror" in self.modes or "delete" in self.modes


class Retry(Declaration):
    """How long a call is repeated before its rows are given up for this run."""

    attempts: int = Field(6, ge=1, le=20)
    first_wait_seconds: float = Field(0.5, gt=0)
    longest_wait_seconds: float = Field(30, gt=0, description="A longer Retry-After ends the run instead.")
    budget_seconds: float = Field(180, gt=0)


class Rate(Declaration):
    """Calls in any period of so many seconds."""

    calls: int = Field(ge=1)
    seconds: float = Field(gt=0)


class ConnectionKey(Declaration):
    """One setting CDP_<NAME>__<KEY>."""

    description: str
    secret: bool = False
    default: str | None = Field(None, description="Used when it is not set; without it the setting is required.")
    names_account: bool = Field(
        True, description="Another value means another account, which has not acknowledged anything."
    )


class ErrorRule(Declaration):
    """What a code of the vendor means."""

    meaning: ErrorClass
    help: str = Field(description="What a person can do about it.")


class DestinationSpec(Declaration):
    """`destinations/<name>/spec.yml`."""

    name: Name
    description: str
    contract: str = Field(description="Where the vendor's contract is written down.")
    connection: dict[Name, ConnectionKey] = Field(
        description="Settings CDP_<NAME>__<KEY>; HTTP ones begin with base_url."
    )
    timeout_seconds: float = Field(30, gt=0)
    retry: Retry = Retry()
    rates: list[Rate] = Field(default=[], description="The vendor's limits on calls; all hold at once.")
    concurrency: int = Field(1, ge=1, le=64, description="Calls under way at once; above 1 the client is thread-safe.")
    errors: dict[str, ErrorRule] = Field(default={}, description="The vendor's codes, as the client names them.")
    objects: dict[Name, ObjectSpec] = Field(min_length=1)

    @property
    def required_settings(self) -> list[str]:
        """Keys of `connection` that must be set."""
        return [name for name, key in self.connection.items() if key.default is None]
