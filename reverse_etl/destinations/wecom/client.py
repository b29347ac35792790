"""WeCom: tags and remarks of follow relations, and tasks of mass messages. See the modules for their contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reverse_etl.catalog import MappedField
from reverse_etl.destination import Batch, Result
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.wecom import remarks
from reverse_etl.destinations.wecom.calls import Calls
from reverse_etl.destinations.wecom.mass_messages import MassMessages
from reverse_etl.destinations.wecom.tags import Tags
from reverse_etl.http import Http
from reverse_etl.pace import Pace


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> WeCom:
    """A client for the corporation `CDP_WECOM__CORPID` and the app that owns `CDP_WECOM__CORPSECRET`."""
    http = Http(spec, connection["base_url"], pace)
    return WeCom(Calls(http, connection["corpid"], connection["corpsecret"]))


class WeCom:
    """See `reverse_etl.destination.Client`."""

    def __init__(self, calls: Calls) -> None:
        self._calls, self._tags, self._messages = calls, Tags(calls), MassMessages(calls)

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Read our group of the tag library, or see that the app may read who follows customers."""
        if object_name == "contact_tags":
            self._tags.prepare(options["tag_group"])
        else:
            self._calls.get("get_follow_user_list", {})

    def write(self, batch: Batch) -> Result:
        """Put tags on and off, note remarks, or create tasks."""
        if batch.object == "contact_remarks":
            return remarks.write(self._calls, batch)
        if batch.object == "mass_messages":
            return self._messages.write(batch)
        return self._tags.write(batch)

    def read_back(self, batch: Batch) -> dict[str, Mapping[str, Any] | None]:
        """What stands in remarks, and whether tasks were created."""
        if batch.object == "mass_messages":
            return self._messages.read_back(batch)
        return remarks.read_back(self._calls, batch)

    def close(self) -> None:
        """Give connections back."""
        self._calls.close()
