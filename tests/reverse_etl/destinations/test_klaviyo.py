"""Klaviyo's client before a stateful emulator; both are held against Klaviyo's own OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import klaviyo
from demo.emulators.faults import Fault
from reverse_etl.destination import BatchRejectedError, UnavailableError
from tests.reverse_etl.destinations.shared import Account, account, batch, specification, statuses

ANNA = {"email": "anna@example.com", "first_name": "Anna", "phone_number": "+4915112345678", "cdp_score": 7}
LI = {"email": "li@example.com", "first_name": "李", "cdp_score": None}
VISIT = {
    "email": "anna@example.com",
    "metric": "Visited",
    "time": "2026-01-01T00:00:00Z",
    "unique_id": "v1",
    "shop": "Ulm",
}
LIST = klaviyo.LISTS[0]


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Account]:
    with account(klaviyo, tmp_path) as made:
        yield made


def test_profiles_are_imported_by_a_job_and_its_errors_name_rows(there: Account) -> None:
    mixed = batch("profiles", [ANNA, {**LI, "phone_number": "12"}, LI])
    result = there.client.write(mixed)
    assert statuses(result, mixed) == ["succeeded", "rejected", "succeeded"]
    assert (result.outcome("r1").code, result.outcome("r0").request_id) == ("invalid", "1")
    first = there.held("profile")
    assert sorted(first) == ["anna@example.com", "li@example.com"]
    there.client.write(batch("profiles", [ANNA, LI]))
    assert there.held("profile") == first


def test_errors_of_more_than_one_page_are_all_read(there: Account) -> None:
    many = batch("profiles", [{"email": f"p{n}"} for n in range(250)] + [ANNA])
    assert statuses(there.client.write(many), many) == ["rejected"] * 250 + ["succeeded"]


def test_members_come_and_go_by_address(there: Account) -> None:
    there.client.write(batch("profiles", [ANNA, LI]))
    wanted = batch("list_members", [{"email": "anna@example.com"}, {"email": "nobody@example.com"}], list_id=LIST)
    result = there.client.write(wanted)
    assert statuses(result, wanted) == ["succeeded", "rejected"]
    assert result.outcome("r1").code in there.spec.errors
    there.client.write(wanted)
    assert len(there.held("member")) == 1
    gone = batch("list_members", [dict(row.payload) for row in wanted.rows], "mirror", "delete", list_id=LIST)
    assert statuses(there.client.delete(gone), gone) == ["succeeded", "succeeded"]
    assert there.held("member") == {}
    with pytest.raises(BatchRejectedError, match="list"):
        there.client.write(batch("list_members", [{"email": "li@example.com"}], list_id="nolist"))


def test_an_event_sent_twice_is_there_once(there: Account) -> None:
    events = batch("events", [VISIT, {**VISIT, "unique_id": "v2", "value": 9.5}], "append")
    for _ in range(2):
        assert statuses(there.client.write(events), events) == ["succeeded", "succeeded"]
    held = there.held("event")
    assert [each["properties"] for each in held.values()] == [{"shop": "Ulm"}, {"shop": "Ulm"}]


def test_throttling_waits_and_a_job_that_never_ends_leaves_doubt(there: Account) -> None:
    there.script.by_number = {1: Fault(429, retry_after=5)}
    there.client.write(batch("profiles", [ANNA]))
    assert there.calls("%-jobs") == [429, 202]
    there.script.rule = lambda number, path: Fault(503) if path.endswith("/2") else None
    with pytest.raises(UnavailableError):
        there.client.write(batch("profiles", [LI]))


def test_a_lost_answer_is_an_unknown_effect_and_sending_again_is_harmless(there: Account) -> None:
    there.script.rule = lambda number, path: Fault(500, after_effect=True) if path.endswith("-jobs") else None
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("profiles", [ANNA]))
    assert told.value.effect_unknown
    before = there.held("profile")
    there.script.rule = None
    there.client.write(batch("profiles", [ANNA]))
    assert there.held("profile") == before


def test_a_wrong_key_ends_the_run_and_too_large_a_job_is_refused(tmp_path: Path, there: Account) -> None:
    with pytest.raises(BatchRejectedError):
        there.client.write(batch("events", [{**VISIT, "unique_id": str(n)} for n in range(1001)], "append"))
    with account(klaviyo, tmp_path / "other", api_key="wrong") as other, pytest.raises(ConfigurationError):
        other.client.write(batch("profiles", [ANNA]))


@pytest.mark.shared_data
def test_requests_and_answers_fit_the_vendors_description(tmp_path: Path) -> None:
    from tests.reverse_etl.destinations.openapi import Held  # takes a second to import

    held = Held(specification("klaviyo"))
    with account(klaviyo, tmp_path, around=held.before) as there:
        there.client.write(batch("profiles", [ANNA, {"email": "wrong"}]))
        there.client.write(batch("list_members", [{"email": "anna@example.com"}], list_id=LIST))
        there.client.delete(batch("list_members", [{"email": "anna@example.com"}], "mirror", "delete", list_id=LIST))
        there.client.write(batch("events", [VISIT], "append"))
    assert (held.wrong, held.seen) == ([], 9)
