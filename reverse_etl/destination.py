"""What the engine asks of a destination's client, and the words both use.

A destination is a folder `destinations/<name>/` with `spec.yml` (destination_spec.py), `client.py` and `README.md`.
`client.py` defines `connect(spec, connection, pace) -> Client`. docs/destinations.md is the recipe.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, overload

from cdp.settings import Settings, required_connection
from reverse_etl.destination_spec import DestinationSpec, Mode

if TYPE_CHECKING:
    import pyarrow as pa

    from reverse_etl.catalog import MappedField, ResolvedSync
    from reverse_etl.pace import Pace

RowOperation = Literal["create", "update", "append", "delete", "merge", "unchanged"]
# `failed`: certainly not applied, worth another try. `in_doubt`: it may have been applied although no answer says so.
# Clients say these four; the engine adds rows that it did not send, and doubts that something later has decided.
Status = Literal["succeeded", "rejected", "failed", "in_doubt", "invalid", "suppressed", "superseded"]


@dataclass(eq=False)
class Row:
    """One row to deliver; never changed. `unchanged` rows only come along with snapshots.

    Not frozen: to make a frozen one takes three times as long, and one is made for each row.
    """

    key: str
    operation: RowOperation
    payload_json: str
    # An earlier send of this key has no known outcome: the destination may hold something we did not record.
    in_doubt: bool = False
    # Of a `merge`: the payload of the object that this one goes into.
    into_json: str = ""

    @cached_property
    def payload(self) -> Mapping[str, Any]:
        """Destination field -> value. Of a delete or a merge: as last acknowledged."""
        return cast(Mapping[str, Any], json.loads(self.payload_json))

    @cached_property
    def into(self) -> Mapping[str, Any]:
        """Of a `merge`: destination field -> value of the object that stays."""
        return cast(Mapping[str, Any], json.loads(self.into_json or "{}"))


class TableRows(Sequence[Row]):
    """Rows of a batch out of the table that the ledger packs. Made when somebody looks at one: a client that puts its
    body together from keys and JSON texts never does, and then they cost nothing."""

    def __init__(self, table: pa.Table, operation: str = "") -> None:
        """`operation`: the one of all rows, where that is known."""
        self._table, self._operation = table, cast(RowOperation, operation)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self._rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    @cached_property
    def keys(self) -> list[str]:
        """Key of each row."""
        return cast(list[str], self._table["key"].to_pylist())

    @cached_property
    def texts(self) -> list[str]:
        """What is sent of each row, as JSON."""
        payload, wire = self._table["payload"], self._table["wire"]
        if wire.null_count == len(self):
            return cast(list[str], payload.to_pylist())
        return [sent or whole for sent, whole in zip(wire.to_pylist(), payload.to_pylist(), strict=True)]

    @property
    def operations(self) -> frozenset[RowOperation]:
        """What is done with them."""
        return (
            frozenset((self._operation,))
            if self._operation
            else frozenset(self._table["operation"].unique().to_pylist())
        )

    @cached_property
    def _rows(self) -> list[Row]:
        table = self._table
        doubts = table["in_doubt"].to_pylist() if "in_doubt" in table.column_names else [False] * len(self)
        columns = (self.keys, table["operation"].to_pylist(), self.texts, doubts, table["into"].to_pylist())
        return [Row(key, what, text, doubt, into or "") for key, what, text, doubt, into in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Batch:
    """Rows of one call, and what the call may need to know about its run."""

    sync: str
    object: str
    mode: Mode
    rows: Sequence[Row]
    options: Mapping[str, str]
    # The run's "now", ISO 8601 in UTC.
    as_of: str
    # The same when the same batch is sent again after a crash, else different.
    idempotency_key: str

    @property
    def keys(self) -> Sequence[str]:
        """Key of each row."""
        return self.rows.keys if isinstance(self.rows, TableRows) else [row.key for row in self.rows]

    @property
    def texts(self) -> Sequence[str]:
        """The JSON of each row, without a look at its fields."""
        return self.rows.texts if isinstance(self.rows, TableRows) else [row.payload_json for row in self.rows]

    @property
    def operations(self) -> frozenset[RowOperation]:
        """What is done with the rows."""
        if isinstance(self.rows, TableRows):
            return self.rows.operations
        return frozenset(row.operation for row in self.rows)


@dataclass(frozen=True)
class Outcome:
    """What became of one row. `code`: the vendor's own, a key of `errors:` in the spec; `request_id`: the vendor's."""

    status: Status
    reason: str = ""
    code: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class Result:
    """What became of a batch: `rows` by key, all others as `others` says.

    A row that is neither named nor covered by `others` is in doubt: silence is no success.
    """

    rows: Mapping[str, Outcome] = field(default_factory=dict)
    others: Outcome | None = None

    @classmethod
    def all_succeeded(cls, request_id: str = "") -> Result:
        """For destinations that accept or refuse a call as a whole."""
        return cls(others=Outcome("succeeded", request_id=request_id))

    @classmethod
    def of(cls, rows: Iterable[Row], outcome: Outcome) -> Result:
        """The same outcome for these rows, nothing about others."""
        return cls({row.key: outcome for row in rows})

    def outcome(self, key: str) -> Outcome:
        """Of one row."""
        found = self.rows.get(key) or self.others
        return found or Outcome("in_doubt", "the destination did not say what became of the row", "no_answer")


class BatchRejectedError(Exception):
    """The destination refused the call as a whole and applied nothing of it. The engine halves the batch.

    A write of several calls may raise it when the first of them were applied only where `repeat` is `harmless`: the halves
    repeat them, and a row that ends as rejected is not acknowledged, so the next run sends all of it again.
    """

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


class UnavailableError(Exception):
    """No usable answer within the retry budget. `effect_unknown`: the call may have been applied."""

    def __init__(self, reason: str, *, effect_unknown: bool, code: str = "unavailable") -> None:
        super().__init__(reason)
        self.effect_unknown, self.code = effect_unknown, code


# What reading an answer raises when it does not have the promised shape: a proxy's page, a changed contract.
UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError)


class Client(Protocol):
    """Talks to one destination. Retries within its budget; knows nothing of plans or ledgers.

    Every method may raise UnavailableError, BatchRejectedError, or ConfigurationError when credentials are refused.
    """

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Create at the destination what rows of an object will refer to (custom properties, tags, folders); once a run.

        Raises SchemaGoneError when a mapped field is no longer there and cannot be created.
        """

    def write(self, batch: Batch) -> Result:
        """Send creates, updates or appends, as `batch.mode` says. Batches of a grouped or snapshot object hold deletes, too."""

    def close(self) -> None:
        """Give connections back."""


class Deletes(Protocol):
    """Of objects with the mode `mirror` or `delete`."""

    def delete(self, batch: Batch) -> Result:
        """Remove the rows. What is not there is removed already: succeeded."""


class ReadsBack(Protocol):
    """Of objects with `reads_back: true`."""

    def read_back(self, batch: Batch) -> Mapping[str, Mapping[str, Any] | None]:
        """What stands at the destination: key -> field -> value in the payload's form, None where nothing stands.

        A key that is left out is not known.
        """


class Merges(Protocol):
    """Of objects with `merges: true`."""

    def merge(self, batch: Batch) -> Result:
        """Merge each row (its `payload`) into the object of its `into`, which stays."""


class SchemaGoneError(Exception):
    """A field that the sync fills does not exist at the destination."""

    def __init__(self, fields: Sequence[str]) -> None:
        super().__init__(", ".join(fields))
        self.fields = tuple(fields)


def connection_of(spec: DestinationSpec, settings: Settings, name: str = "") -> dict[str, str]:
    """Base URL, secrets and defaults of a destination (or of its account `name`). Raises ConfigurationError naming what
    is not set."""
    defaults = {name: key.default for name, key in spec.connection.items() if key.default is not None}
    return {**defaults, **required_connection(name or spec.name, spec.required_settings, settings)}


def connect(resolved: ResolvedSync, settings: Settings, pace: Pace) -> Client:
    """The client of a sync's destination: `destinations/<name>/client.py` defines `connect(spec, connection, pace)`."""
    module = importlib.import_module(f"reverse_etl.destinations.{resolved.spec.name}.client")
    client: Client = module.connect(resolved.spec, connection_of(resolved.spec, settings, resolved.settings_name), pace)
    return client
