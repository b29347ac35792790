"""Braze: attributes and events by /users/track, profiles removed by /users/delete and joined by /users/merge.

Contract: braze.com/docs, "Track users", "Delete users", "Merge users", "API limits", "Errors & responses". An answer of 201 with `errors` holds
minor errors: what they name was not applied, all else was. The pages leave their shape open; seen are texts, and objects with
`type`, `input_array` and `index` (from 0, within the array). After 429 `X-RateLimit-Reset` holds the second at which calls are taken again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reverse_etl.destination import Batch, Outcome, Result, Row
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import Rest
from reverse_etl.http import Http, judge_status, retry_after
from reverse_etl.pace import Pace, TryAgain
from reverse_etl.response import Response

if TYPE_CHECKING:
    from reverse_etl.catalog import MappedField

_EVENT_FIELDS = {"app_id", "external_id", "name", "time"}


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> Braze:
    """A client for `CDP_BRAZE__BASE_URL` with the REST key `CDP_BRAZE__API_KEY`."""
    http = Http(spec, connection["base_url"], pace, {"Authorization": f"Bearer {connection['api_key']}"})
    expected = "a REST API key with the permissions users.track, users.delete and users.merge"
    return Braze(Rest(http, spec.name, _error, credentials=expected, judge=_judge))


class Braze:
    """See `reverse_etl.destination.Client`. Thread-safe."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
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
        return _read(batch, part, answer)

    def delete(self, batch: Batch) -> Result:
        """One call of /users/delete; an unknown user is gone already."""
        self._rest.call("POST", "/users/delete", {"external_ids": [row.payload["external_id"] for row in batch.rows]})
        return Result.all_succeeded()

    def merge(self, batch: Batch) -> Result:
        """One call of /users/merge: each profile goes into the other, which keeps its own values. Braze works on it later."""
        updates = [
            {
                "identifier_to_merge": {"external_id": row.payload["external_id"]},
                "identifier_to_keep": {"external_id": row.into["external_id"]},
            }
            for row in batch.rows
        ]
        self._rest.call("POST", "/users/merge", {"merge_updates": updates})
        return Result.all_succeeded()

    def close(self) -> None:
        """Give connections back."""
        self._rest.close()


def _read(batch: Batch, part: str, answer: Mapping[str, Any]) -> Result:
    """Rows by the place that an error names. Errors are also told as mere texts: then the number processed has to decide."""
    wrong: dict[str, Outcome] = {}
    texts = 0
    for error in answer.get("errors", []):
        if isinstance(error, Mapping) and error.get("input_array") == part:
            wrong[batch.rows[error["index"]].key] = Outcome("rejected", str(error["type"]), "invalid_row")
        else:
            texts += 1
    all_told = not texts or answer.get(f"{part}_processed") == len(batch.rows) - len(wrong)
    return Result(wrong, Outcome("succeeded") if all_told else None)


def _event(row: Row) -> dict[str, Any]:
    properties = {name: value for name, value in row.payload.items() if name not in _EVENT_FIELDS and value is not None}
    own = {name: row.payload[name] for name in sorted(_EVENT_FIELDS) if row.payload.get(name) is not None}
    return {**own, "properties": properties}


def _judge(response: Response) -> None:
    if response.status_code == 429 and retry_after(response) is None:
        reset = response.headers.get("X-RateLimit-Reset", "")
        wait = max(float(reset) - time.time(), 0.0) if reset.isdigit() else None
        raise TryAgain("status 429", wait, code="rate_limit")
    judge_status(response)


def _error(body: Mapping[str, Any]) -> tuple[str, str]:
    return "bad_request", str(body.get("message", ""))
