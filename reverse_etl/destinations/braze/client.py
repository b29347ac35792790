"""Braze: attributes and events by /users/track, profiles removed by /users/delete.

Contract: braze.com/docs, "Track users", "Delete users", "API limits". An answer of 201 with `errors` names rows by array and
index; they were not applied, all others were. After 429 `X-RateLimit-Reset` holds the second at which calls are taken again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import httpx

from reverse_etl.destination import Batch, Outcome, Result, Row
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import Rest
from reverse_etl.http import Http, judge_status, retry_after
from reverse_etl.pace import Pace, TryAgain

if TYPE_CHECKING:
    from reverse_etl.catalog import MappedField

_EVENT_FIELDS = {"external_id", "name", "time"}


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> Braze:
    """A client for `CDP_BRAZE__BASE_URL` with the REST key `CDP_BRAZE__API_KEY`."""
    http = Http(spec, connection["base_url"], pace, {"Authorization": f"Bearer {connection['api_key']}"})
    expected = "a REST API key with the permissions users.track and users.delete"
    return Braze(Rest(http, spec.name, _error, credentials=expected, judge=_judge))


class Braze:
    """See `reverse_etl.destination.Client`. Thread-safe."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def prepare(self, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Braze makes attributes and events as they come."""

    def write(self, batch: Batch) -> Result:
        """One call of /users/track."""
        is_event = batch.object == "events"
        if is_event:
            part, objects = "events", [_event(row) for row in batch.rows]
        else:
            only = {"_update_existing_only": True} if batch.mode == "update_only" else {}
            part, objects = "attributes", [{**row.payload, **only} for row in batch.rows]
        # Braze takes no idempotency key, so an event whose answer was lost is not counted twice by asking again.
        answer = self._rest.call("POST", "/users/track", {part: objects}, repeatable=not is_event).json()
        if answer["message"] not in ("success", "queued"):
            raise ValueError("neither success nor queued")
        wrong = {
            batch.rows[error["index"]].key: Outcome("rejected", str(error["type"]), "invalid_row")
            for error in answer.get("errors", [])
            if error["input_array"] == part
        }
        return Result(wrong, Outcome("succeeded"))

    def delete(self, batch: Batch) -> Result:
        """One call of /users/delete; an unknown user is gone already."""
        self._rest.call("POST", "/users/delete", {"external_ids": [row.payload["external_id"] for row in batch.rows]})
        return Result.all_succeeded()

    def close(self) -> None:
        """Give connections back."""
        self._rest.close()


def _event(row: Row) -> dict[str, Any]:
    properties = {name: value for name, value in row.payload.items() if name not in _EVENT_FIELDS and value is not None}
    return {**{name: row.payload[name] for name in sorted(_EVENT_FIELDS)}, "properties": properties}


def _judge(response: httpx.Response) -> None:
    if response.status_code == 429 and retry_after(response) is None:
        reset = response.headers.get("X-RateLimit-Reset", "")
        wait = max(float(reset) - time.time(), 0.0) if reset.isdigit() else None
        raise TryAgain("status 429", wait, code="rate_limit")
    judge_status(response)


def _error(body: Mapping[str, Any]) -> tuple[str, str]:
    return "bad_request", str(body.get("message", ""))
