"""HubSpot CRM v3: contacts, members of lists, and erasure after the GDPR.

Contract: developers.hubspot.com, "Contacts" (batch upsert, create, update, read, archive, GDPR delete), "Properties", "Lists"
(memberships) and "Error handling".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reverse_etl.catalog import MappedField
from reverse_etl.destination import Batch, Result
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.hubspot import contacts, lists
from reverse_etl.destinations.hubspot.calls import CONTACTS, Calls
from reverse_etl.http import Http
from reverse_etl.pace import Pace


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> HubSpot:
    """A client for `CDP_HUBSPOT__BASE_URL` with the private app's token `CDP_HUBSPOT__TOKEN`."""
    headers = {"Authorization": f"Bearer {connection['token']}"}
    return HubSpot(Calls(Http(spec, connection["base_url"], pace, headers)))


class HubSpot:
    """See `reverse_etl.destination.Client`. Thread-safe."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Create missing custom properties (contacts), or look at the list (list_memberships)."""
        if object_name == "contacts":
            contacts.make_properties(self._calls, fields, options["property_group"])
        if object_name == "list_memberships":
            lists.check(self._calls, options["list_id"])

    def write(self, batch: Batch) -> Result:
        """Write contacts, or add members."""
        if batch.object == "list_memberships":
            return lists.change(self._calls, batch, remove=False)
        return contacts.write(self._calls, batch)

    def delete(self, batch: Batch) -> Result:
        """Archive contacts, remove members, or erase."""
        if batch.object == "list_memberships":
            return lists.change(self._calls, batch, remove=True)
        if batch.object == "erasures":
            (row,) = batch.rows
            body = {"objectId": row.payload["email"], "idProperty": "email"}
            self._calls.call("POST", f"{CONTACTS}/gdpr-delete", body)
            return Result.all_succeeded()
        return contacts.archive(self._calls, batch)

    def read_back(self, batch: Batch) -> dict[str, Mapping[str, Any] | None]:
        """What stands in contacts."""
        return contacts.read_back(self._calls, batch)

    def close(self) -> None:
        """Give connections back."""
        self._calls.close()
