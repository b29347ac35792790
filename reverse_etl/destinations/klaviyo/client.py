"""Klaviyo: profiles by bulk import jobs, list memberships by profile id, events by bulk create jobs.

Contract: Klaviyo's OpenAPI description, revision 2026-07-15. An import job is accepted at once and done later; what it could
not import stands under its import-errors, each with a pointer to the profile it was sent as.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import httpx

from reverse_etl.destination import Batch, Outcome, Result, Row
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import Rest
from reverse_etl.http import Http, judge_status
from reverse_etl.pace import Pace, TryAgain
from reverse_etl.response import Response

if TYPE_CHECKING:
    from reverse_etl.catalog import MappedField

REVISION = "2026-07-15"
_JOBS = "/api/profile-bulk-import-jobs"
_PROFILE_FIELDS = {"email", "phone_number", "external_id", "first_name", "last_name", "organization", "title", "locale"}
_EVENT_FIELDS = {"email", "metric", "time", "unique_id", "value"}
_POSITION = re.compile(r"/profiles/data/(\d+)")


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> Klaviyo:
    """A client for `CDP_KLAVIYO__BASE_URL` with the private key `CDP_KLAVIYO__API_KEY`."""
    headers = {
        "Authorization": f"Klaviyo-API-Key {connection['api_key']}",
        "revision": REVISION,
        "Content-Type": "application/vnd.api+json",
        "Accept": "application/vnd.api+json",
    }
    expected = "a private key with the scopes profiles:read, profiles:write, lists:write and events:write"
    return Klaviyo(Rest(Http(spec, connection["base_url"], pace, headers), spec.name, _error, credentials=expected))


class Klaviyo:
    """See `reverse_etl.destination.Client`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Klaviyo makes properties and metrics as they come."""

    def write(self, batch: Batch) -> Result:
        """Import profiles and wait for the job, add members of a list, or hand over events."""
        if batch.object == "list_members":
            return self._members("POST", batch)
        if batch.object == "events":
            self._post("event-bulk-create-job", {"events-bulk-create": {"data": [_event(row) for row in batch.rows]}})
            return Result.all_succeeded()
        sent = self._post("profile-bulk-import-job", {"profiles": {"data": [_profile(row) for row in batch.rows]}})
        job = str(sent.json()["data"]["id"])
        self._rest.call("GET", f"{_JOBS}/{job}", judge=_judge_job)
        return Result(self._import_errors(job, batch.rows), Outcome("succeeded", request_id=job))

    def delete(self, batch: Batch) -> Result:
        """Take members off a list. Who has no profile is on no list."""
        return self._members("DELETE", batch)

    def close(self) -> None:
        """Give connections back."""
        self._rest.close()

    def _post(self, kind: str, attributes: Mapping[str, Any]) -> Response:
        return self._rest.call("POST", f"/api/{kind}s", {"data": {"type": kind, "attributes": attributes}})

    def _import_errors(self, job: str, rows: Sequence[Row]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        cursor: str | None = ""
        while cursor is not None:
            params = {"page[size]": "100"} | ({"page[cursor]": cursor} if cursor else {})
            answer = self._rest.call("GET", f"{_JOBS}/{job}/import-errors", params=params).json()
            for error in answer["data"]:
                told = error["attributes"]
                found = _POSITION.search(told["source"]["pointer"])
                if found is None:
                    raise ValueError("an import error that names no profile")
                reason = f"{told['title']}: {told['detail']}"
                outcomes[rows[int(found[1])].key] = Outcome("rejected", reason, str(told["code"]), job)
            following = (answer.get("links") or {}).get("next")
            cursor = httpx.URL(following).params["page[cursor]"] if following else None
        return outcomes

    def _members(self, method: str, batch: Batch) -> Result:
        """One look-up of ids by address and one call with those that are known."""
        addresses = {row.key: str(row.payload["email"]).lower() for row in batch.rows}
        wanted = json.dumps(sorted(set(addresses.values())), ensure_ascii=False)
        answer = self._rest.call(
            "GET",
            "/api/profiles",
            params={"filter": f"any(email,{wanted})", "fields[profile]": "email", "page[size]": "100"},
        ).json()
        ids = {str(each["attributes"]["email"]).lower(): str(each["id"]) for each in answer["data"]}
        known = [{"type": "profile", "id": each} for each in sorted(ids.values())]
        if known:
            path = f"/api/lists/{batch.options['list_id']}/relationships/profiles"
            self._rest.call(method, path, {"data": known})
        unknown = Outcome("rejected", "Klaviyo has no profile with this address", "not_found")
        missing = {key: unknown for key, address in addresses.items() if address not in ids and method == "POST"}
        return Result(missing, Outcome("succeeded"))


def _profile(row: Row) -> dict[str, Any]:
    properties = {name: value for name, value in row.payload.items() if name not in _PROFILE_FIELDS}
    attributes = {name: value for name, value in row.payload.items() if name in _PROFILE_FIELDS}
    return {"type": "profile", "attributes": attributes | ({"properties": properties} if properties else {})}


def _event(row: Row) -> dict[str, Any]:
    given = row.payload
    event: dict[str, Any] = {
        "metric": {"data": {"type": "metric", "attributes": {"name": given["metric"]}}},
        "properties": {name: value for name, value in given.items() if name not in _EVENT_FIELDS and value is not None},
        "time": given["time"],
        "unique_id": given["unique_id"],
    }
    if given.get("value") is not None:
        event["value"] = given["value"]
    profile = {"data": {"type": "profile", "attributes": {"email": given["email"]}}}
    events = {"data": [{"type": "event", "attributes": event}]}
    return {"type": "event-bulk-create", "attributes": {"profile": profile, "events": events}}


def _judge_job(response: Response) -> None:
    """Until the job is done its rows may or may not have been imported."""
    judge_status(response)
    if response.status_code == 200:
        status = response.json()["data"]["attributes"]["status"]
        if status != "complete":
            raise TryAgain(f"the import job is {status}", effect_unknown=True, code=f"job_{status}")


def _error(body: Mapping[str, Any]) -> tuple[str, str]:
    first: Mapping[str, Any] = next(iter(body.get("errors", [])), {})
    return str(first.get("code", "")), ": ".join(str(first[part]) for part in ("title", "detail") if first.get(part))
