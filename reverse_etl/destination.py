"""What the engine asks of a destination's client, and the words both use."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cdp.settings import Settings, required_connection
from reverse_etl.catalog import MappedField, ResolvedSync
from reverse_etl.declaration import DestinationSpec

RowOperation = Literal["create", "update", "delete", "unchanged"]
Status = Literal["acknowledged", "rejected", "failed"]


@dataclass(frozen=True)
class Row:
    """One row to deliver. `unchanged` rows only come along with snapshots."""

    key: str
    operation: RowOperation
    payload: Mapping[str, Any]
    payload_json: str
    payload_hash: str
    # An earlier send of this key has no known outcome: the destination may hold something we did not record.
    in_doubt: bool = False


@dataclass(frozen=True)
class Batch:
    """Rows that go together, and what the call may need to know about its run."""

    sync: str
    object: str
    rows: Sequence[Row]
    options: Mapping[str, str]
    as_of: str


@dataclass(frozen=True)
class Outcome:
    """What became of one row. `effect_unknown`: it may have been applied although no answer said so."""

    key: str
    status: Status
    reason: str = ""
    effect_unknown: bool = False


class BatchRejectedError(Exception):
    """The destination refused the call as a whole and applied nothing of it."""


class UnavailableError(Exception):
    """No usable answer within the retry budget."""

    def __init__(self, reason: str, *, effect_unknown: bool) -> None:
        super().__init__(reason)
        self.effect_unknown = effect_unknown


# What reading an answer raises when it does not have the promised shape: a proxy's page, a changed contract.
UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError)


class Client(Protocol):
    """Talks to one destination. Retries within its budget; knows nothing of plans or ledgers."""

    def prepare(self, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Create at the destination what rows will refer to (custom properties, tags, folders)."""

    def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Send a batch; one outcome for each row that is not `unchanged`.

        Raises BatchRejectedError, UnavailableError, or ConfigurationError when the credentials are refused.
        """

    def close(self) -> None:
        """Give connections back."""


def connection_of(spec: DestinationSpec, settings: Settings) -> dict[str, str]:
    """Base URL and secrets of a destination. Raises ConfigurationError naming what is not set."""
    return required_connection(spec.name, list(spec.connection), settings)


def connect(resolved: ResolvedSync, settings: Settings) -> Client:
    """The client of a sync's destination: `destinations/<name>/client.py` defines `connect(spec, connection)`."""
    module = importlib.import_module(f"reverse_etl.destinations.{resolved.spec.name}.client")
    client: Client = module.connect(resolved.spec, connection_of(resolved.spec, settings))
    return client
