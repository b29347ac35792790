"""HubSpot's CRM search, as "Search the CRM" of developers.hubspot.com says it: strict, with its limits, and with a state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "pat-1"
# Of contacts, hs_lastmodifieddate is known and empty: a filter on it finds nothing and says nothing.
MODIFIED = {"contacts": "lastmodifieddate", "companies": "hs_lastmodifieddate", "deals": "hs_lastmodifieddate"}
KNOWN = {"hs_object_id", "createdate", "lastmodifieddate", "hs_lastmodifieddate"}
COMPARED: dict[str, Callable[[int, int], bool]] = {
    "EQ": lambda a, b: a == b,
    "GT": lambda a, b: a > b,
    "GTE": lambda a, b: a >= b,
    "LT": lambda a, b: a < b,
    "LTE": lambda a, b: a <= b,
}


def iso(milliseconds: int) -> str:
    """A time as HubSpot writes it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Refused(Exception):
    pass


@dataclass
class HubSpot:
    """Objects of an account. `unindexed`: ids that the search does not find yet. `asked`: what was answered, with the ids given.

    `reachable`: results of one query that can be paged to. `before`: called before each answer with its number.
    """

    reachable: int = 10_000
    objects: dict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: {kind: {} for kind in MODIFIED})
    unindexed: set[int] = field(default_factory=set)
    asked: list[tuple[str, dict[str, Any], list[int]]] = field(default_factory=list)
    before: Callable[[int], None] = lambda number: None
    refuses: bool = False
    base_url: str = ""

    def put(self, kind: str, number: int, at: int, more: dict[str, Any] | None = None, **properties: Any) -> None:
        """Create or change an object at `at` (milliseconds since 1970); `more` stands beside its properties."""
        kept = self.objects[kind].get(number, {"id": str(number), "createdAt": iso(at), "archived": False})
        values = kept.get("properties", {}) | properties | {"hs_object_id": str(number), MODIFIED[kind]: iso(at)}
        self.objects[kind][number] = kept | {"updatedAt": iso(at), "properties": values} | (more or {})

    def route(self) -> Route:
        """Where it answers."""
        return Route("/crm/v3/objects/{kind}/search", self._answer, methods=["POST"])

    async def _answer(self, request: Request) -> Response:
        self.before(len(self.asked))
        if self.refuses or request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"status": "error", "category": "INVALID_AUTHENTICATION"}, 401)
        body, kind = await request.json(), request.path_params["kind"]
        try:
            page = self._search(kind, body)
        except _Refused as refused:
            return JSONResponse({"status": "error", "category": "VALIDATION_ERROR", "message": str(refused)}, 400)
        self.asked.append((kind, body, [int(row["id"]) for row in page["results"]]))
        return JSONResponse(page)

    def _search(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        if unknown := set(body) - {"filterGroups", "sorts", "properties", "limit", "after", "query"}:
            raise _Refused(f"unknown {sorted(unknown)}")
        limit, after = body.get("limit", 10), int(body.get("after", 0))
        if not isinstance(limit, int) or not 1 <= limit <= 200:
            raise _Refused("limit: 1 to 200")
        if after + limit > self.reachable:
            raise _Refused(f"paging beyond {self.reachable} results")
        if len(body.get("filterGroups", [])) > 5 or any(len(g["filters"]) > 6 for g in body.get("filterGroups", [])):
            raise _Refused("at most 5 groups of 6 filters")
        found = [row for number, row in self.objects[kind].items() if number not in self.unindexed]
        if groups := [[_condition(one) for one in group["filters"]] for group in body.get("filterGroups", [])]:
            found = [row for row in found if any(all(holds(row) for holds in group) for group in groups)]
        if len(sorts := body.get("sorts", [])) > 1:
            raise _Refused("one sort")
        for sort in sorts:
            if set(sort) != {"propertyName", "direction"} or sort["direction"] not in ("ASCENDING", "DESCENDING"):
                raise _Refused("a sort has propertyName and direction")
            found.sort(
                key=lambda row: _value(row, sort["propertyName"]) or 0, reverse=sort["direction"] == "DESCENDING"
            )
        told = [*body.get("properties", []), "hs_object_id", "createdate", MODIFIED[kind]]
        rows = [
            row | {"properties": {name: row["properties"].get(name) for name in told}}
            for row in found[after : after + limit]
        ]
        page: dict[str, Any] = {"total": len(found), "results": rows}
        if after + limit < len(found):
            page["paging"] = {"next": {"after": str(after + limit)}}
        return page


def _condition(one: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    """A filter on a number or a time; an object without the property does not pass."""
    if set(one) != {"propertyName", "operator", "value"} or one["operator"] not in COMPARED:
        raise _Refused("a filter has propertyName, operator and value")
    if not isinstance(one["value"], str) or not one["value"].isdecimal():
        raise _Refused("numbers and times are compared as text of digits, times in milliseconds since 1970")
    name, compare, limit = _known(one["propertyName"]), COMPARED[one["operator"]], int(one["value"])
    return lambda row: (value := _value(row, name)) is not None and compare(value, limit)


def _known(name: str) -> str:
    if name not in KNOWN:
        raise _Refused(f"There is no property named {name}")
    return name


def _value(row: dict[str, Any], name: str) -> int | None:
    value = row["properties"].get(name)
    if value is None or name == "hs_object_id":
        return None if value is None else int(value)
    return round(datetime.fromisoformat(value).timestamp() * 1000)
