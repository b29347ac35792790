"""HubSpot read by a cursor: what is asked for, what lands, and what happens when objects change while they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from cdp.errors import ConfigurationError, DeclarationError, RunError
from cdp.settings import PROJECT_ROOT, Settings
from cdp.sources import Source
from cdp.warehouse import reading
from ingest.sources.hubspot_crm import OVERLAP_MILLISECONDS, Search, Searched
from tests.ingest.hubspot_search import TOKEN, HubSpot
from tests.ingest.trial import Trial
from tests.ingest.vendors import serve_under_load

START = 1_767_225_600_000
DAY = 86_400_000


class Reader(Trial):
    """Loads the source as it ships, but for its pace."""

    source: Source

    def read(self) -> dict[str, int]:
        return self.load(self.source)

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with reading(self.settings, live=True) as con:
            return con.execute(text).fetchall()


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    folders = {"data_dir": tmp_path / "data", "landing_dir": tmp_path / "landing"}
    reader = Reader(Settings(project_root=PROJECT_ROOT, **folders, _env_file=None))
    declared = reader.declared("hubspot_crm")
    assert (declared.requests_per_second or 9) <= 5, "searches a second that HubSpot allows an account"
    reader.source = declared.model_copy(update={"requests_per_second": None})
    monkeypatch.setattr("ingest.sources.hubspot_crm.PAGE", 2)
    monkeypatch.setenv("CDP_HUBSPOT_CRM__TOKEN", TOKEN)
    return reader


@pytest.fixture
def hubspot(serve: Callable[[Starlette], str], monkeypatch: pytest.MonkeyPatch) -> HubSpot:
    """An account with five contacts, changed a day after another, a company and a deal."""
    account = HubSpot(reachable=4)
    for n in range(1, 6):
        account.put("contacts", n, START + n * DAY, email=f"p{n}@x.example", firstname="", associatedcompanyid="9")
    account.put("companies", 9, START, name="Nine", domain="Nine.example", numberofemployees="12")
    account.put("deals", 7, START, dealstage="closedwon", amount="10.50", closedate="2026-02-03T00:00:00Z")
    account.base_url = serve_under_load(serve, account.route())
    monkeypatch.setenv("CDP_HUBSPOT_CRM__BASE_URL", account.base_url)
    return account


def test_the_first_reading_is_whole_and_the_next_from_the_last_change_on(reader: Reader, hubspot: HubSpot) -> None:
    assert reader.read() == {"contacts": 5, "companies": 1, "deals": 1}
    since = {kind: body["filterGroups"][0]["filters"][0] for kind, body, _ in hubspot.asked}
    assert since == {
        "contacts": {"propertyName": "lastmodifieddate", "operator": "GTE", "value": "0"},
        "companies": {"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": "0"},
        "deals": {"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": "0"},
    }
    hubspot.asked.clear()
    assert reader.read() == {}
    newest = START + 5 * DAY - OVERLAP_MILLISECONDS
    asked = [
        (body["filterGroups"][0]["filters"][0]["value"], ids) for kind, body, ids in hubspot.asked if kind == "contacts"
    ]
    assert asked == [(str(newest), [5]), (str(newest), [5])], "nothing but what changed last is told again"
    hubspot.put("contacts", 3, START + 6 * DAY, {"archived": "perhaps"}, firstname="Mia", phone=49_301_234)
    hubspot.put("companies", 9, START + 6 * DAY, {"url": "https://app.hubspot.example/9"})
    assert reader.read() == {"contacts": 1, "companies": 1}, "one of each changed"
    assert reader.query("select table_name, column_name, change from raw.raw_schema_change order by all") == [
        ("companies", "url", "new column"),
        ("contacts", "archived", "type changed"),
    ]
    found = reader.conformed("hubspot_crm")
    assert len(found["identifiers"]) == 6
    assert ("hubspot:3", "p3@x.example", "49301234") in found["identifiers"]
    assert found["account"][0][:3] == ("9", "Nine", "nine.example")
    assert (found["lead"][0][3], float(found["lead"][0][6])) == ("won", 10.5)


def test_what_the_search_finds_late_lands_once(reader: Reader, hubspot: HubSpot) -> None:
    """A change shortly before the last one, which the search did not find at first."""
    hubspot.put("contacts", 6, START + 5 * DAY - OVERLAP_MILLISECONDS + 1, email="late@x.example")
    hubspot.unindexed.add(6)
    assert reader.read()["contacts"] == 5
    hubspot.unindexed.clear()
    assert reader.read() == {"contacts": 1}
    assert reader.read() == {}
    assert reader.query("select count(*) from raw.hubspot_crm__contacts where id = '6'") == [(1,)]


def test_more_objects_than_one_query_gives_and_all_of_one_moment(reader: Reader, hubspot: HubSpot) -> None:
    for n in range(10, 22):
        hubspot.put("contacts", n, START + 9 * DAY)
    address = f"{hubspot.base_url}/crm/v3/objects/contacts/search"
    beyond = httpx.post(address, json={"after": "4"}, headers={"Authorization": f"Bearer {TOKEN}"})
    while beyond.status_code in (429, 503):
        beyond = httpx.post(address, content=beyond.request.content, headers=beyond.request.headers)
    assert beyond.status_code == 400, "HubSpot would not be paged that far"
    assert reader.read()["contacts"] == 17
    assert reader.read() == {}


def test_objects_that_change_and_come_while_they_are_read(reader: Reader, hubspot: HubSpot) -> None:
    """After the first page: one that was read changes, one that was not read does, and a new one has a lower id than these."""

    def meanwhile(number: int) -> None:
        if number == 2:
            hubspot.put("contacts", 2, START + 8 * DAY, firstname="Again")
            hubspot.put("contacts", 5, START + 9 * DAY, firstname="Five")
            hubspot.put("contacts", 1, START + 8 * DAY, email="new@x.example")

    del hubspot.objects["contacts"][1]
    hubspot.put("contacts", 8, START + DAY)
    hubspot.before = meanwhile
    landed = reader.read()["contacts"]
    ids = [number for (number,) in reader.query("select distinct id from raw.hubspot_crm__contacts order by id")]
    assert (ids, landed) == (["2", "3", "4", "5", "8"], 5), "none is passed over"
    hubspot.before = lambda number: None
    assert reader.read() == {"contacts": 2}
    told = reader.query("select id, properties ->> '$.firstname' from raw.hubspot_crm__contacts order by _cdp_sequence")
    assert sorted(told) == [("1", None), ("2", ""), ("2", "Again"), ("3", ""), ("4", ""), ("5", "Five"), ("8", None)]


def test_a_reading_that_fails_keeps_nothing(reader: Reader, hubspot: HubSpot) -> None:
    def revoked(number: int) -> None:
        hubspot.refuses = number >= 3

    hubspot.before = revoked
    with pytest.raises(ConfigurationError, match="refused the credentials") as caught:
        reader.read()
    assert TOKEN not in caught.value.render()
    assert hubspot.asked[-1][2], "some were told before"
    hubspot.before, hubspot.refuses = (lambda number: None), False
    assert reader.read() == {"contacts": 5, "companies": 1, "deals": 1}
    hubspot.put("contacts", 4, START + 7 * DAY, firstname="Kim")
    hubspot.asked.clear()
    hubspot.before = revoked
    with pytest.raises(ConfigurationError):
        reader.read()
    hubspot.before, hubspot.refuses = (lambda number: None), False
    assert reader.read() == {"contacts": 1}


def test_a_property_more_is_read_of_all(reader: Reader, hubspot: HubSpot) -> None:
    for n in (1, 2):
        hubspot.put("contacts", n, START + n * DAY, lamp="desk")
    reader.read()

    endpoint = reader.source.tables["contacts"].endpoint or {}
    more = reader.asking(reader.source, "contacts", properties=[*endpoint["properties"], "lamp"])
    assert reader.load(more) == {"contacts": 5}
    assert reader.load(more) == {}
    assert reader.query("select count(*) from raw.hubspot_crm__contacts where properties ->> '$.lamp' = 'desk'") == [
        (2,)
    ]
    with pytest.raises(DeclarationError, match=r"tables\.contacts\.endpoint: propertys: Extra inputs"):
        reader.load(reader.asking(reader.source, "contacts", propertys=[]))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"results": [{"id": "2", "properties": {}}], "paging": {"next": {"after": "1"}}}, "no object behind the id 2"),
        ({"results": [{"id": None}], "paging": {"next": {"after": "1"}}}, "no object behind the id 0"),
        ({"status": "ok"}, 'has no "results"'),
    ],
)
def test_answers_that_would_be_read_for_ever_or_as_nothing(
    serve: Callable[[Starlette], str], answer: dict[str, Any], said: str
) -> None:
    base = serve(Starlette(routes=[Route("/{path:path}", lambda request: JSONResponse(answer), methods=["POST"])]))
    search = Search(requests.Session(), base, Searched(object="deals", modified="at", properties=[]), "hubspot_crm")
    with pytest.raises(RunError, match=said) as caught:
        list(search.pages(0))
    assert "/crm/v3/objects/deals/search" in caught.value.render()
    with pytest.raises(RunError, match=r'a time in at|has no "results"'):
        search.newest(0)
