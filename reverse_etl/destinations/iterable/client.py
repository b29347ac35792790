"""Iterable: users, list memberships and events by bulk calls, whose answers name what failed by address or user id.

Contract: Iterable's API description (users/bulkUpdate, users/merge, users/{email}, lists/subscribe, lists/unsubscribe,
events/trackBulk). A 200 may hold failures: `failedUpdates` names them by kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reverse_etl.destination import Batch, BatchRejectedError, Outcome, Result, Row
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import Rest, one_by_one
from reverse_etl.http import Http
from reverse_etl.pace import Pace

if TYPE_CHECKING:
    from reverse_etl.catalog import MappedField

_USER_FIELDS = {"email", "userId"}
_EVENT_FIELDS = {"email", "id", "eventName", "createdAt"}
# What /users/merge says of a source that is gone.
_GONE = {"NotFound", "UnknownEmailError", "UnknownUserIdError"}


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> Iterable:
    """A client for `CDP_ITERABLE__BASE_URL` with the server-side key `CDP_ITERABLE__API_KEY`."""
    http = Http(spec, connection["base_url"], pace, {"Api-Key": connection["api_key"]})
    return Iterable(Rest(http, spec.name, _error, credentials="a server-side API key of the project"))


class Iterable:
    """See `reverse_etl.destination.Client`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Fields are made as they come, or a row that has an unknown one is rejected."""

    def write(self, batch: Batch) -> Result:
        """One bulk call."""
        if batch.object == "list_members":
            return self._members("subscribe", batch)
        create = {"createNewFields": batch.options["create_new_fields"] == "true"}
        if batch.object == "events":
            events = [_event(row) | create for row in batch.rows]
            return _read(batch, self._rest.call("POST", "/api/events/trackBulk", {"events": events}).json())
        users = [_with_data(row, _USER_FIELDS) for row in batch.rows]
        return _read(batch, self._rest.call("POST", "/api/users/bulkUpdate", {"users": users, **create}).json())

    def delete(self, batch: Batch) -> Result:
        """End memberships by one call, delete users one by one. Who is not there is gone already."""
        if batch.object == "list_members":
            return self._members("unsubscribe", batch)

        def remove(row: Row) -> Outcome:
            self._rest.call("DELETE", f"/api/users/{quote(str(row.payload['email']), safe='@')}", accept=(404,))
            return Outcome("succeeded")

        return one_by_one(batch.rows, remove)

    def merge(self, batch: Batch) -> Result:
        """Profile and events of each user go into the other; a source that is gone has been merged already."""

        def join(row: Row) -> Outcome:
            both = {"sourceEmail": row.payload["email"], "destinationEmail": row.into["email"]}
            try:
                self._rest.call("POST", "/api/users/merge", both)
            except BatchRejectedError as error:
                if error.code not in _GONE:
                    raise
            return Outcome("succeeded")

        return one_by_one(batch.rows, join)

    def close(self) -> None:
        """Give connections back."""
        self._rest.close()

    def _members(self, verb: str, batch: Batch) -> Result:
        emails = [{"email": row.payload["email"]} for row in batch.rows]
        body = {"listId": int(batch.options["list_id"]), "subscribers": emails}
        result = _read(batch, self._rest.call("POST", f"/api/lists/{verb}", body).json())
        if verb == "subscribe":
            return result
        # Who is not in the list, or not at all, has left it.
        left = {
            key: Outcome("succeeded") if each.code == "notFoundEmails" else each for key, each in result.rows.items()
        }
        return Result(left, result.others)


def _read(batch: Batch, answer: Mapping[str, Any]) -> Result:
    """Rows that the answer names failed. The others succeeded, if as many failed as are named; else nobody knows."""
    kinds = {**answer.get("failedUpdates", {}), "disallowedEventNames": answer.get("disallowedEventNames", [])}
    # The older lists at the top hold the same, and stand alone in answers to projects of long ago.
    for old in ("invalidEmails", "invalidUserIds"):
        kinds[old] = [*kinds.get(old, []), *answer.get(old, [])]
    failed = {kind: {str(each).lower() for each in named} for kind, named in kinds.items() if named}
    dropped = set(answer.get("filteredOutFields", []))
    outcomes: dict[str, Outcome] = {}
    for row in batch.rows:
        names = {
            "Emails": row.payload.get("email"),
            "Ids": row.payload.get("userId"),
            "Names": row.payload.get("eventName"),
        }
        for kind, named in failed.items():
            value = next(each for ending, each in names.items() if kind.endswith(ending))
            if value is not None and str(value).lower() in named:
                outcomes[row.key] = Outcome("rejected", f"Iterable names it in {kind}", kind)
        lost = sorted(dropped & {name for name, given in row.payload.items() if given is not None})
        if lost and row.key not in outcomes:
            reason = f"Iterable dropped {', '.join(lost)}, which the project does not know"
            outcomes[row.key] = Outcome("rejected", reason, "filteredOutFields")
    refused = [each for each in outcomes.values() if each.code != "filteredOutFields"]
    everybody_known = int(answer["failCount"]) <= len(refused)
    return Result(outcomes, Outcome("succeeded") if everybody_known else None)


def _with_data(row: Row, own: set[str]) -> dict[str, Any]:
    """Fields of the object itself, and all others as its data."""
    given = row.payload
    data = {name: value for name, value in given.items() if name not in own}
    made = {name: given[name] for name in sorted(own) if given.get(name) is not None}
    return made | ({"dataFields": data} if data else {})


def _event(row: Row) -> dict[str, Any]:
    event = _with_data(row, _EVENT_FIELDS)
    moment = datetime.fromisoformat(str(row.payload["createdAt"]))
    event["createdAt"] = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return event


def _error(body: Mapping[str, Any]) -> tuple[str, str]:
    return str(body.get("code", "")), str(body.get("msg", ""))
