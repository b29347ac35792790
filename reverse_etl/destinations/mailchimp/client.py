"""Mailchimp: members of a list by batch calls with errors by address, members of static segments, archiving one by one.

Contract: mailchimp.com/developer/marketing/api, "Batch subscribe or unsubscribe", "Batch add or remove members" (segments), "Archive
list member", "List merge fields", "Errors". A 200 may hold errors; only those named in it were written.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reverse_etl.destination import Batch, Outcome, Result, Row, SchemaGoneError
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.rest import Rest, one_by_one
from reverse_etl.http import Http
from reverse_etl.pace import Pace

if TYPE_CHECKING:
    from reverse_etl.catalog import MappedField

_MEMBER_FIELDS = ("email_address", "status", "language", "email_type", "tags")


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> Mailchimp:
    """A client for `CDP_MAILCHIMP__BASE_URL` with the key `CDP_MAILCHIMP__API_KEY`."""
    key = b64encode(f"tributary:{connection['api_key']}".encode()).decode()
    http = Http(spec, connection["base_url"], pace, {"Authorization": f"Basic {key}"})
    return Mailchimp(Rest(http, spec.name, _error, credentials="a Marketing API key of this data centre"))


class Mailchimp:
    """See `reverse_etl.destination.Client`. Thread-safe."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """The list exists and has every merge field; Mailchimp drops unknown ones without a word."""
        wanted = {field.name for field in fields if field.is_custom}
        params = {"count": "1000", "fields": "merge_fields.tag"}
        answer = self._rest.call("GET", f"/3.0/lists/{options['list_id']}/merge-fields", params=params).json()
        if gone := sorted(wanted - {each["tag"] for each in answer["merge_fields"]}):
            raise SchemaGoneError(gone)

    def write(self, batch: Batch) -> Result:
        """One call. Of members, who is named in no part of the answer is in doubt."""
        if batch.object == "segment_members":
            return self._segment("members_to_add", batch)
        params = {"skip_merge_validation": batch.options["skip_merge_validation"], "skip_duplicate_check": "false"}
        body = {
            "members": [_member(row) for row in batch.rows],
            "update_existing": True,
            "sync_tags": batch.options["sync_tags"] == "true",
        }
        answer = self._rest.call("POST", f"/3.0/lists/{batch.options['list_id']}", body, params=params).json()
        done = {_plain(each["email_address"]) for part in ("new_members", "updated_members") for each in answer[part]}
        wrong = {_plain(each["email_address"]): each for each in answer["errors"]}
        outcomes: dict[str, Outcome] = {}
        for row in batch.rows:
            address = _plain(row.payload["email_address"])
            if address in wrong:
                outcomes[row.key] = _rejected(wrong[address])
            elif address in done:
                outcomes[row.key] = Outcome("succeeded")
        return Result(outcomes)

    def delete(self, batch: Batch) -> Result:
        """Archive members one by one, or end memberships in one call. Who is not there is gone already."""
        if batch.object == "segment_members":
            return self._segment("members_to_remove", batch)

        def archive(row: Row) -> Outcome:
            digest = hashlib.md5(_plain(row.payload["email_address"]).encode(), usedforsecurity=False).hexdigest()
            # 405: the member has been archived, or deleted for good.
            self._rest.call("DELETE", f"/3.0/lists/{batch.options['list_id']}/members/{digest}", accept=(404, 405))
            return Outcome("succeeded")

        return one_by_one(batch.rows, archive)

    def close(self) -> None:
        """Give connections back."""
        self._rest.close()

    def _segment(self, part: str, batch: Batch) -> Result:
        path = f"/3.0/lists/{batch.options['list_id']}/segments/{batch.options['segment_id']}"
        body = {part: [row.payload["email_address"] for row in batch.rows]}
        answer = self._rest.call("POST", path, body).json()
        if part == "members_to_remove":
            return Result.all_succeeded()
        wrong = {_plain(each): error["error"] for error in answer["errors"] for each in error["email_addresses"]}
        outcomes = {
            row.key: Outcome("rejected", str(wrong[_plain(row.payload["email_address"])]), "not_a_member")
            for row in batch.rows
            if _plain(row.payload["email_address"]) in wrong
        }
        # Who is in the segment already is not named, so silence is success here as long as every error has a name.
        return Result(outcomes, Outcome("succeeded") if int(answer["error_count"]) <= len(wrong) else None)


def _member(row: Row) -> dict[str, Any]:
    given = row.payload
    # Mailchimp empties a merge field by an empty text; null leaves it alone.
    merge = {name: "" if value is None else value for name, value in given.items() if name not in _MEMBER_FIELDS}
    member = {name: given[name] for name in _MEMBER_FIELDS if given.get(name) is not None}
    return member | ({"merge_fields": merge} if merge else {})


def _rejected(error: Mapping[str, Any]) -> Outcome:
    told, field = str(error.get("error", "")), str(error.get("field") or "")
    reason = f"{told} {field}: {error.get('field_message', '')}" if field else told
    compliant = "compliance state" not in told.lower()
    return Outcome("rejected", reason, str(error.get("error_code", "")) if compliant else "compliance_state")


def _plain(address: Any) -> str:
    """Addresses are compared in lower case; some answers put them in quotes."""
    return str(address).strip('"\\ ').lower()


def _error(body: Mapping[str, Any]) -> tuple[str, str]:
    parts = [f"{each.get('field', '')}: {each.get('message', '')}" for each in body.get("errors") or []]
    return str(body.get("title", "")), "; ".join([str(body.get("detail", "")), *parts])
