"""HubSpot CRM: objects that changed since the last reading, by the search endpoint of each object.

Contract: developers.hubspot.com, "Search the CRM" (POST /crm/v3/objects/{object}/search): filters, one sort, at most 200 results a
page, 10,000 results a query (to page beyond is answered 400), 5 searches a second and account, and new or changed objects
appear in it a few moments late. Archived objects are not found.

Pages are not followed by `paging.next.after`, which counts results: an object that changes while pages are read leaves its place in
an order by time, and the next page begins one object too late. Each page asks for the objects behind the last id instead, an
order that no change disturbs. Nor is there a limit of results then, not even where an update in bulk gave more than 10,000
objects the same millisecond (as in github.com/airbytehq/airbyte/issues/43317).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from cdp.declarations import Declaration
from cdp.errors import DeclarationError, RunError
from cdp.settings import Settings, required_connection
from cdp.sources import Source, raw_table
from ingest.kinds.http import retrying_session
from ingest.landing import Lander
from ingest.objects import land_changed

PAGE = 200
# What appears late is found if it does within this time. Connectors of others hold their reading back as long.
OVERLAP_MILLISECONDS = 60 * 60 * 1000
ID = "hs_object_id"


class Searched(Declaration):
    """What a table's `endpoint` says."""

    object: str
    modified: str
    properties: list[str]


def resources(dlt: Any, source: Source, settings: Settings, lander: Lander) -> list[Any]:
    """One resource a table. The state keeps the time of the newest change there was when the reading began, and digests of
    the objects that it was told; a table whose `endpoint` asks for other properties than last time is read whole."""
    keys = required_connection(source.name, source.connection, settings)
    session = retrying_session(source)

    def authorized(request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {keys['token']}"
        return request

    session.auth = authorized

    def read(table_name: str, search: Search) -> Iterator[Any]:
        state = dlt.current.resource_state()
        asked = search.asked.model_dump()
        cursor = state.get("cursor", 0) if state.get("asked") == asked else 0
        since = max(cursor - OVERLAP_MILLISECONDS, 0)
        newest = search.newest(since)
        for page in search.pages(since):
            yield from land_changed(dlt, lander, table_name, page, search.path)
        state["asked"], state["cursor"] = asked, max(cursor, newest)

    found = []
    for name in source.tables:
        search = Search(session, keys["base_url"].rstrip("/"), _searched(source, name), source.name)
        resource = dlt.resource(read, name=raw_table(source.name, name), write_disposition="append")
        found.append(resource(name, search))
    return found


@dataclass(frozen=True)
class Search:
    """Asks for objects of one type."""

    session: Any
    base_url: str
    asked: Searched
    source_name: str

    @property
    def path(self) -> str:
        """Where the objects are searched."""
        return f"/crm/v3/objects/{self.asked.object}/search"

    def newest(self, since: int) -> int:
        """When the object that changed last did, in milliseconds since 1970; 0 if none did at or after `since`."""
        found, _ = self._ask(since, None, {"propertyName": self.asked.modified, "direction": "DESCENDING"}, 1)
        if not found:
            return 0
        try:
            return round(datetime.fromisoformat(found[0]["properties"][self.asked.modified]).timestamp() * 1000)
        except (KeyError, TypeError, ValueError):
            raise self._unusable(f"an object without a time in {self.asked.modified}", "a time in ISO 8601") from None

    def pages(self, since: int) -> Iterator[list[Any]]:
        """Objects that changed at or after `since`, in the order of their ids."""
        last, has_more = 0, True
        while has_more:
            page, has_more = self._ask(since, last, {"propertyName": ID, "direction": "ASCENDING"}, PAGE)
            if page:
                yield page
            ids = [int(row["id"]) for row in page if isinstance(row, dict) and str(row.get("id")).isdecimal()]
            if has_more and max(ids, default=0) <= last:
                raise self._unusable(f"no object behind the id {last}, and tells of further ones", "ids that grow")
            last = max(ids, default=last)

    def _ask(self, since: int, behind: int | None, sort: dict[str, str], limit: int) -> tuple[list[Any], bool]:
        """One answer's objects, and whether there are more."""
        filters = [{"propertyName": self.asked.modified, "operator": "GTE", "value": str(since)}]
        if behind is not None:
            filters.append({"propertyName": ID, "operator": "GT", "value": str(behind)})
        body = {
            "filterGroups": [{"filters": filters}],
            "sorts": [sort],
            "properties": [*self.asked.properties, self.asked.modified],
            "limit": limit,
        }
        answer = self.session.post(self.base_url + self.path, json=body)
        answer.raise_for_status()
        found = answer.json()
        if not isinstance(found, dict) or not isinstance(found.get("results"), list):
            raise self._unusable('no "results"', "a list there, be it empty")
        return found["results"], bool((found.get("paging") or {}).get("next"))

    def _unusable(self, has: str, expected: str) -> RunError:
        return RunError(
            f"the answer of {self.path} has {has}",
            where=f"ingest/sources/{self.source_name}.yml",
            expected=expected,
            fix="check base_url, and look what the API answers now; nothing of this attempt was kept",
        )


def _searched(source: Source, table_name: str) -> Searched:
    try:
        return Searched.model_validate(source.tables[table_name].endpoint or {})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DeclarationError(
            f"tables.{table_name}.endpoint: {wrong}",
            where=f"ingest/sources/{source.name}.yml",
            expected="object, modified (its property with the time of the last change) and properties",
        ) from None
