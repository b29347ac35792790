"""REST APIs against a real server on loopback: pages, cursors, limits, outages, and what goes wrong for good."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cdp.errors import CdpError, ConfigurationError, RunError
from tests.ingest.conftest import Project

SOURCE = """
connection: [base_url, token]
client:
  base_url: "{base_url}/v1/"
  auth: {type: bearer, token: "{token}"}
  paginator: {type: cursor, cursor_path: next, cursor_param: cursor}
tables:
  people:
    description: People.
    required: [id]
    endpoint:
      path: people
      data_selector: results.items
      params: {limit: 3}
      incremental: {cursor_path: updated_at, start_param: since, initial_value: "1970-01-01T00:00:00Z"}
    columns: {id: text, name: text, score: double, updated_at: timestamp}
"""
TOKEN = "secret-token-1234"


class Api:
    """An API with change dates whose rows, failures and received requests the test holds."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.requests: list[dict[str, str]] = []
        self.failures: list[Response] = []
        self.answer: Callable[[Any], Any] = lambda rows: {"results": {"items": rows}}
        self._lock = threading.Lock()

    def app(self) -> Starlette:
        """The server."""

        async def people(request: Request) -> Response:
            with self._lock:
                self.requests.append(dict(request.query_params))
                if self.failures:
                    return self.failures.pop(0)
                if request.headers.get("authorization") != f"Bearer {TOKEN}":
                    return JSONResponse({"error": f"unknown token {request.headers.get('authorization')}"}, 401)
                since = request.query_params.get("since", "1970-01-01T00:00:00Z")
                found = [
                    r for r in self.rows if not isinstance(r, dict) or moment(r.get("updated_at")) >= moment(since)
                ]
                start = int(request.query_params.get("cursor", "0"))
                end = start + int(request.query_params.get("limit", "100"))
                answer = self.answer(found[start:end])
                # ASCII, so that what UTF-8 cannot say can be sent
                return PlainTextResponse(json.dumps(answer | ({"next": str(end)} if end < len(found) else {})))

        return Starlette(routes=[Route("/v1/people", people)])


@pytest.fixture
def api(project: Project, serve: Callable[[Starlette], str], monkeypatch: pytest.MonkeyPatch) -> Api:
    """A running API with seven people, and the settings that lead to it."""
    found = Api()
    found.rows = [person(n) for n in range(7)]
    monkeypatch.setenv("CDP_API__BASE_URL", serve(found.app()))
    monkeypatch.setenv("CDP_API__TOKEN", TOKEN)
    return found


def moment(text: Any) -> float:
    """A time as the API compares it; what is none comes last."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return float("inf")


def person(n: int, at: str = "", **more: Any) -> dict[str, Any]:
    return {"id": str(n), "name": f"n{n}", "score": n / 2, "updated_at": at or f"2026-01-01T00:00:{n:02}Z"} | more


def test_pages_cursor_and_nothing_new(project: Project, api: Api) -> None:
    source = project.declare("api", SOURCE, "rest_api")
    assert project.load(source).rows == {"people": 7}
    assert [r.get("cursor") for r in api.requests] == [None, "3", "6"]
    assert {r["since"] for r in api.requests} == {"1970-01-01T00:00:00Z"}
    assert project.values("api__people", "id") == [str(n) for n in range(7)]
    assert project.values("api__people", "_cdp_row") == list(range(1, 8))
    assert project.load(source).total == 0
    assert api.requests[-1]["since"] == "2026-01-01T00:00:06Z"


def test_equal_cursors_are_neither_lost_nor_doubled(project: Project, api: Api) -> None:
    """Rows of one moment that come later, and one that changes within its moment; cursors of several spellings."""
    source = project.declare("api", SOURCE, "rest_api")
    project.load(source)
    api.rows[6] = person(6, name="changed")
    api.rows.append(person(7, at="2026-01-01T00:00:06Z"))
    assert project.load(source).rows == {"people": 2}
    api.rows.append(person(8, at="2026-01-01T00:00:06.500Z"))  # later, though less as a text
    api.rows.append(person(9, at="2026-01-01T08:00:07+08:00"))
    assert project.load(source).rows == {"people": 2}
    assert project.load(source).total == 0
    names = project.query(
        "select id, list(name order by _cdp_sequence) from raw.api__people group by id having count(*) > 1"
    )
    assert names == [("6", ["n6", "changed"])]


class Waits:
    """Stands for the module `time`: nobody really waits, and it is written down how long they would have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.time = time.time

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def monotonic(self) -> float:
        return sum(self.seconds)


def test_outages_and_limits_are_waited_out(project: Project, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits()
    monkeypatch.setattr("urllib3.util.retry.time", waits)
    source = project.declare("api", SOURCE, "rest_api")
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 250))
    api.failures = [
        JSONResponse({"error": "no"}, 500),
        JSONResponse({"error": "no"}, 500),
        JSONResponse({"error": "no"}, 503, {"Retry-After": "7"}),
        JSONResponse({"error": "slow down"}, 429, {"Retry-After": soon}),
    ]
    assert project.load(source).rows == {"people": 7}
    assert project.values("api__people", "id") == [str(n) for n in range(7)]
    assert len(api.requests) == 7
    assert waits.seconds[:2] == [0.5, 7.0], "after the second failure half a second, then as the API says"
    assert 7 < waits.seconds[2] <= 250, "a date is kept, too"


def test_the_sources_own_rate_is_kept(project: Project, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits()
    monkeypatch.setattr("ingest.kinds.http.time", waits)
    project.load(project.declare("api", SOURCE + "requests_per_second: 5\n", "rest_api"))
    assert len(api.requests) == 3
    assert waits.seconds == pytest.approx([0.2, 0.2])


def test_an_outage_in_the_middle_keeps_nothing_and_the_next_run_completes(
    project: Project, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.kinds.http.ATTEMPTS", 2)
    source = project.declare("api", SOURCE, "rest_api")
    answers = iter(range(100))

    def dying(rows: Any) -> Any:
        if next(answers) == 1:  # the second page, and all after it
            api.failures = [PlainTextResponse("gone", 502)] * 3
        return {"results": {"items": rows}}

    api.answer = dying
    api.rows = [person(n) for n in range(12)]
    with pytest.raises(RunError, match="answered 502 for /v1/people") as caught:
        project.load(source)
    assert caught.value.exit_code == 1
    assert project.query("select count(*) from raw.api__people") == [(0,)]
    api.failures = []
    assert project.load(source).rows == {"people": 12}
    assert project.values("api__people", "id") == [str(n) for n in range(12)]


def test_dirty_rows_are_set_aside_once(project: Project, api: Api) -> None:
    """Rows of another kind neither end the run nor move the cursor; new fields land beside."""
    source = project.declare("api", SOURCE, "rest_api")
    api.rows = [
        person(0),
        person(1, score="much"),
        person(2, extra={"a": 1}),
        {"name": "nobody", "updated_at": "2026-01-01T00:00:03Z"},
        person(4, at="soon"),
        person(5) | {"updated_at": 5},
        "not a row",
        person(7) | {"updated_at": None},
        person(8, name="\ud800"),
        person(9),
    ]
    loaded = project.load(source)
    assert loaded.rows == {"people": 5}
    assert {(reason, text[:12]) for _, _, reason, text in project.open_rows()} == {
        ("id: is required but missing", '{"name": "no'),
        ("updated_at: is not a time", '{"id": "4", '),
        ("updated_at: is not a time", '{"id": "5", '),
        ("is JSON but not an object", '"not a row"'),
        ("holds characters that cannot be written", '{"id": "8", '),
    }
    assert project.query("select id, score, score__v_text from raw.api__people where score is null") == [
        ("1", None, "much")
    ]
    assert project.values("api__people", "extra") == [None, None, '{"a":1}', None, None]
    again = project.load(source)
    assert (again.quarantined, len(project.open_rows())) == (0, 5)
    assert set(again.rows) <= {"people"}


def test_an_api_without_change_dates_lands_what_changed(project: Project, api: Api) -> None:
    text = "\n".join(line for line in SOURCE.splitlines() if "incremental:" not in line)
    source = project.declare("api", text, "rest_api")
    assert project.load(source).rows == {"people": 7}
    assert project.load(source).total == 0
    api.rows[3] = person(3, name="changed")
    assert project.load(source).rows == {"people": 1}
    api.rows[3] = person(3)  # and back
    del api.rows[5]
    assert project.load(source).rows == {"people": 1}
    assert project.load(source).total == 0


@pytest.mark.parametrize(
    ("failure", "error", "message"),
    [
        (JSONResponse({"error": TOKEN}, 401), ConfigurationError, "refused the credentials: 401 for /v1/people"),
        (JSONResponse({"error": TOKEN}, 403), ConfigurationError, "refused the credentials: 403"),
        (JSONResponse({"error": TOKEN}, 404), RunError, "answered 404 for /v1/people"),
        (PlainTextResponse(f"<html>{TOKEN}"), RunError, "the answer of /v1/people is no JSON"),
        (JSONResponse({"results": {"rows": []}}), RunError, 'of /v1/people has no "results.items"'),
        (JSONResponse({}, 429, {"Retry-After": "86400"}), RunError, "asks to wait 86400 s"),
    ],
)
def test_failures_for_good_say_what_to_do(
    project: Project, api: Api, failure: Response, error: type[CdpError], message: str
) -> None:
    source = project.declare("api", SOURCE, "rest_api")
    api.failures = [failure]
    with pytest.raises(error, match=message.replace(".", r"\.")) as caught:
        project.load(source)
    assert caught.value.where
    assert caught.value.fix
    shown = "".join(__import__("traceback").format_exception(caught.value)) + caught.value.render()
    assert TOKEN not in shown
    api.failures = []
    assert project.load(source).rows == {"people": 7}


def test_an_unreachable_api_and_missing_settings(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.kinds.http.ATTEMPTS", 1)
    source = project.declare("api", SOURCE, "rest_api")
    monkeypatch.setenv("CDP_API__BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="CDP_API__TOKEN is not set"):
        project.load(source)
    monkeypatch.setenv("CDP_API__TOKEN", TOKEN)
    with pytest.raises(RunError, match="could not be reached: ConnectionError") as caught:
        project.load(source)
    assert "CDP_API__BASE_URL" in caught.value.fix


def test_a_wrong_converter_is_a_wrong_declaration(project: Project, api: Api) -> None:
    source = project.declare(
        "api", SOURCE.replace("start_param: since", "start_param: since, convert: epoch_second"), "rest_api"
    )
    with pytest.raises(CdpError, match=r'unknown "epoch_second"(.|\n)*did you mean "epoch_seconds"') as caught:
        project.load(source)
    assert caught.value.exit_code == 2
