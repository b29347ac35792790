"""Customer.io: people, objects and events by /api/v2/batch, members of manual segments by /api/v1/segments.

Contract: docs.customer.io, Track API (v2 batch, v1 segments). 200 took everything; 207 names what it did not take by the place
in the batch.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reverse_etl.destination import Batch, Outcome, Result, Row
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import Rest
from reverse_etl.http import Http
from reverse_etl.pace import Pace

if TYPE_CHECKING:
    from reverse_etl.catalog import MappedField

_EVENT_FIELDS = {"id", "event_id", "name", "timestamp"}
# Letters of Crockford's base 32, of which a ULID has 26.
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID = re.compile(f"[0-7][{_LETTERS}]{{25}}")


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> CustomerIo:
    """A client for `CDP_CUSTOMERIO__BASE_URL` with the site id and its Track API key."""
    key = b64encode(f"{connection['site_id']}:{connection['api_key']}".encode()).decode()
    http = Http(spec, connection["base_url"], pace, {"Authorization": f"Basic {key}"})
    return CustomerIo(Rest(http, spec.name, _error, credentials="the site id and the Track API key of a workspace"))


class CustomerIo:
    """See `reverse_etl.destination.Client`. Thread-safe."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Customer.io makes attributes as they come."""

    def write(self, batch: Batch) -> Result:
        """One call."""
        if batch.object == "segment_members":
            return self._segment("add_customers", batch)
        make = {"people": _person, "objects": _object, "events": _event}[batch.object]
        return self._batch(batch.rows, [make(row, batch.options) for row in batch.rows])

    def delete(self, batch: Batch) -> Result:
        """One call. Who is not there is gone already."""
        if batch.object == "segment_members":
            return self._segment("remove_customers", batch)
        make = {"people": _person, "objects": _object}[batch.object]
        made = [make(row, batch.options) for row in batch.rows]
        kept = ("type", "identifiers")
        return self._batch(batch.rows, [{name: each[name] for name in kept} | {"action": "delete"} for each in made])

    def merge(self, batch: Batch) -> Result:
        """Each person goes into the other, who keeps what both have."""
        return self._batch(
            batch.rows,
            [
                {
                    "type": "person",
                    "action": "merge",
                    "primary": {"id": row.into["id"]},
                    "secondary": {"id": row.payload["id"]},
                }
                for row in batch.rows
            ],
        )

    def close(self) -> None:
        """Give connections back."""
        self._rest.close()

    def _batch(self, rows: Sequence[Row], entries: Sequence[Mapping[str, Any]]) -> Result:
        response = self._rest.call("POST", "/api/v2/batch", {"batch": list(entries)})
        answer = response.json()
        errors = answer["errors"] if response.status_code == 207 else answer.get("errors") or []
        outcomes: dict[str, Outcome] = {}
        for error in errors:
            # Without a place in the batch nobody knows whose error it is, and all rows would be in doubt.
            key, reason = rows[int(error["batch_index"])].key, str(error.get("reason", ""))
            told = ": ".join(str(error[part]) for part in ("field", "message") if error.get(part))
            outcomes.setdefault(key, Outcome("rejected", told or reason, reason))
        return Result(outcomes, Outcome("succeeded"))

    def _segment(self, verb: str, batch: Batch) -> Result:
        """Taken as a whole; ids that Customer.io does not know are passed over there."""
        path = f"/api/v1/segments/{batch.options['segment_id']}/{verb}"
        self._rest.call("POST", path, {"ids": [row.payload["id"] for row in batch.rows]}, params={"id_type": "id"})
        return Result.all_succeeded()


def _attributes(row: Row, own: set[str]) -> dict[str, Any]:
    """An empty text takes an attribute away; null would be kept as a value."""
    return {name: "" if value is None else value for name, value in row.payload.items() if name not in own}


def _person(row: Row, _options: Mapping[str, str]) -> dict[str, Any]:
    identifiers = {"id": row.payload["id"]}
    return {
        "type": "person",
        "action": "identify",
        "identifiers": identifiers,
        "attributes": _attributes(row, {"id"}),
    }


def _object(row: Row, options: Mapping[str, str]) -> dict[str, Any]:
    made = {
        "type": "object",
        "action": "identify",
        "identifiers": {"object_type_id": options["object_type_id"], "object_id": row.payload["object_id"]},
        "attributes": _attributes(row, {"object_id", "person_id"}),
    }
    person = row.payload.get("person_id")
    return made | ({"cio_relationships": [{"identifiers": {"id": person}}]} if person else {})


def _event(row: Row, _options: Mapping[str, str]) -> dict[str, Any]:
    given = row.payload
    moment = datetime.fromisoformat(str(given["timestamp"]))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return {
        "type": "person",
        "action": "event",
        "identifiers": {"id": given["id"]},
        "name": given["name"],
        "id": ulid(str(given["event_id"]), moment),
        "timestamp": int(moment.timestamp()),
        "attributes": {n: value for n, value in given.items() if n not in _EVENT_FIELDS and value is not None},
    }


def ulid(event_id: str, moment: datetime) -> str:
    """The ULID of an event: its own when it is one, else made of its time and the digest of its id, always the same.

    48 bits of milliseconds and 80 bits that tell events apart (github.com/ulid/spec).
    """
    if _ULID.fullmatch(event_id):
        return event_id
    milliseconds = max(int(moment.timestamp() * 1000), 0)
    number = milliseconds << 80 | int.from_bytes(hashlib.sha256(event_id.encode()).digest()[:10])
    return "".join(_LETTERS[number >> 5 * place & 31] for place in reversed(range(26)))


def _error(body: Mapping[str, Any]) -> tuple[str, str]:
    """Of v2 a list of errors, of v1 one text."""
    first: Mapping[str, Any] = next(iter(body.get("errors") or []), {})
    told = ": ".join(str(first[part]) for part in ("field", "message") if first.get(part))
    return str(first.get("reason", "")), told or str((body.get("meta") or {}).get("error", ""))
