"""Members of static lists. HubSpot takes record ids only, so contacts are found by their addresses first."""

from __future__ import annotations

from cdp.errors import ConfigurationError
from reverse_etl.destination import Batch, BatchRejectedError, Outcome, Result
from reverse_etl.destinations.hubspot.calls import Calls

_LISTS = "/crm/v3/lists"
_CONTACTS_TYPE = "0-1"


def check(calls: Calls, list_id: str) -> None:
    """See that the list is one of contacts whose members are set by hand or API. Raises ConfigurationError."""
    try:
        found = calls.call("GET", f"{_LISTS}/{list_id}").json()["list"]
    except BatchRejectedError:
        problem = f"HubSpot has no list {list_id}"
    else:
        if found["objectTypeId"] == _CONTACTS_TYPE and found["processingType"] in ("MANUAL", "SNAPSHOT"):
            return
        problem = f"the list {list_id} is of type {found['objectTypeId']} and {found['processingType']}"
    raise ConfigurationError(
        problem,
        where="hubspot",
        expected="a list of contacts whose processing type is MANUAL or SNAPSHOT",
        fix="make a static list of contacts at HubSpot and put its id into options.list_id",
    )


def change(calls: Calls, batch: Batch, *, remove: bool) -> Result:
    """Add or remove members. A contact that HubSpot lacks is no member, and cannot become one."""
    contacts = calls.read((str(row.payload["email"]) for row in batch.rows), [])
    ids = {
        row.key: str(contacts[str(row.payload["email"])]["id"])
        for row in batch.rows
        if str(row.payload["email"]) in contacts
    }
    missing: set[str] = set()
    if ids:
        members = sorted(set(ids.values()))
        body = {"recordIdsToAdd": [] if remove else members, "recordIdsToRemove": members if remove else []}
        path = f"{_LISTS}/{batch.options['list_id']}/memberships/add-and-remove"
        missing = set(map(str, calls.call("PUT", path, body).json().get("recordIdsMissing", [])))
    if remove:
        return Result.all_succeeded()
    gone = Outcome("rejected", "HubSpot has no contact with this address", "OBJECT_NOT_FOUND")
    return Result(
        {row.key: gone for row in batch.rows if row.key not in ids or ids[row.key] in missing}, Outcome("succeeded")
    )
