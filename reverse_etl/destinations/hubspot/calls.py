"""Calls of HubSpot's API, and how it says no."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cdp.errors import ConfigurationError
from reverse_etl.destination import BatchRejectedError
from reverse_etl.http import Http
from reverse_etl.response import Response

CONTACTS = "/crm/v3/objects/contacts"
# Inputs of a batch call of the CRM.
INPUTS_A_CALL = 100


class Calls:
    """One portal. Thread-safe, as Http is."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def call(self, method: str, path: str, body: Any = None, accept: tuple[int, ...] = ()) -> Response:
        """One call. Raises ConfigurationError on 401 and 403, BatchRejectedError on any other refusal."""
        response = self._http.request(method, path, json=body)
        status = response.status_code
        if status < 300 or status in accept:
            return response
        error = _error_of(response)
        if status in (401, 403):
            raise ConfigurationError(
                f"HubSpot refuses the token (status {status}, {error.get('category', 'no category')})",
                where="hubspot",
                expected="the token of a private app with the scopes that the object needs (see the README)",
                fix="correct CDP_HUBSPOT__TOKEN, or give the app the scope, and run again",
            )
        raise BatchRejectedError(reason_of(error) or f"status {status}", code_of(error, str(status)))

    def read(self, emails: Iterable[str], properties: list[str]) -> dict[str, dict[str, Any]]:
        """Contacts by e-mail address (lower case): `id` and `properties`. Those that HubSpot lacks are left out."""
        wanted = sorted(set(emails))
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(wanted), INPUTS_A_CALL):
            inputs = [{"id": email} for email in wanted[start : start + INPUTS_A_CALL]]
            body = {"idProperty": "email", "properties": sorted({"email", *properties}), "inputs": inputs}
            answer = self.call("POST", f"{CONTACTS}/batch/read", body).json()
            found |= {result["properties"]["email"]: result for result in answer.get("results", [])}
        return found

    def close(self) -> None:
        """Give connections back."""
        self._http.close()


def reason_of(error: Mapping[str, Any]) -> str:
    """What an error document says."""
    parts = [str(error.get("category", "")), str(error.get("message", ""))]
    return ": ".join(part for part in parts if part)


def code_of(error: Mapping[str, Any], otherwise: str = "") -> str:
    """The category; of a property that is gone, which is told only within the message, the word for that."""
    gone = "PROPERTY_DOESNT_EXIST"
    return gone if gone in str(error.get("message", "")) else str(error.get("category", otherwise))


def _error_of(response: Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
