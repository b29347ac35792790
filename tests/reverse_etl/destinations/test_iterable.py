"""Iterable's client before a stateful emulator; both are held against Iterable's own API description."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import iterable
from demo.emulators.faults import Fault
from reverse_etl.destination import BatchRejectedError, UnavailableError
from tests.reverse_etl.destinations.shared import Account, account, batch, merging, specification, statuses

NEW, LIST = {"create_new_fields": "true"}, {"list_id": str(iterable.LISTS[0])}
ANNA: dict[str, Any] = {"email": "anna@example.com", "userId": "p1", "firstName": "Anna", "score": 7, "tags": ["tea"]}
LI: dict[str, Any] = {"email": "li@example.com", "firstName": "李", "score": None}
VISIT = {
    "email": "anna@example.com",
    "id": "e1",
    "eventName": "Visited",
    "createdAt": "2026-01-01T00:00:00Z",
    "shop": "Ulm",
}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Account]:
    with account(iterable, tmp_path) as made:
        yield made


def test_users_are_written_emptied_and_deleted(there: Account) -> None:
    both = batch("users", [ANNA, LI], **NEW)
    assert statuses(there.client.write(both), both) == ["succeeded", "succeeded"]
    there.client.write(batch("users", [{**ANNA, "score": None}], **NEW))
    assert there.held("user")["anna@example.com"] == {
        "email": "anna@example.com",
        "userId": "p1",
        "dataFields": {"firstName": "Anna", "tags": ["tea"]},
    }
    gone = batch("users", [ANNA, {"email": "never+there/x@example.com"}], "mirror", "delete", **NEW)
    assert statuses(there.client.delete(gone), gone) == ["succeeded", "succeeded"]
    assert list(there.held("user")) == ["li@example.com"]


def test_failures_in_a_200_name_their_rows(there: Account) -> None:
    there.client.write(batch("users", [ANNA], **NEW))
    there.keep("forgotten", "erased@example.com", {"since": 1})
    rows = [
        LI,
        {"email": "no address"},
        {"email": "Erased@example.com"},
        {"email": "carl@example.com", "score": "seven"},
        {"email": "dora@example.com", "userId": "p1"},
    ]
    mixed = batch("users", rows, **NEW)
    result = there.client.write(mixed)
    assert statuses(result, mixed) == ["succeeded", *["rejected"] * 4]
    codes = [result.outcome(f"r{number}").code for number in range(1, 5)]
    assert codes == ["invalidEmails", "forgottenEmails", "invalidDataEmails", "conflictEmails"]
    assert set(codes) <= set(there.spec.errors)


def test_more_failures_than_names_leave_the_others_in_doubt(there: Account) -> None:
    from reverse_etl.destinations.iterable.client import _read

    both = batch("users", [ANNA, LI], **NEW)
    answer = {"successCount": 0, "failCount": 2, "failedUpdates": {"invalidEmails": ["anna@example.com"]}}
    assert statuses(_read(both, answer), both) == ["rejected", "in_doubt"]


def test_a_field_that_the_project_drops_is_told(there: Account) -> None:
    both = batch("users", [{**ANNA, "shoe": 43}, {**LI, "shoe": None}], create_new_fields="false")
    there.client.write(batch("users", [ANNA], **NEW))
    result = there.client.write(both)
    assert statuses(result, both) == ["rejected", "succeeded"]
    assert result.outcome("r0").code in there.spec.errors
    assert "shoe" not in there.held("user")["anna@example.com"]["dataFields"]


def test_members_come_and_go(there: Account) -> None:
    both = batch("list_members", [{"email": "anna@example.com"}, {"email": "wrong"}], **LIST)
    for _ in range(2):
        assert statuses(there.client.write(both), both) == ["succeeded", "rejected"]
    assert list(there.held("member")) == [f"{iterable.LISTS[0]}/anna@example.com"]
    gone = batch(
        "list_members", [{"email": "anna@example.com"}, {"email": "no@example.com"}], "mirror", "delete", **LIST
    )
    for _ in range(2):
        assert statuses(there.client.delete(gone), gone) == ["succeeded", "succeeded"]
    assert there.held("member") == {}
    with pytest.raises(BatchRejectedError, match="list") as told:
        there.client.write(batch("list_members", [{"email": "anna@example.com"}], list_id="1"))
    assert told.value.code in there.spec.errors


def test_an_event_sent_twice_is_there_once(there: Account) -> None:
    there.client.write(batch("users", [ANNA], **NEW))
    events = batch("events", [VISIT, {**VISIT, "email": "nobody@example.com", "id": "e2"}], "append", **NEW)
    for _ in range(2):
        result = there.client.write(events)
        assert statuses(result, events) == ["succeeded", "rejected"]
    assert result.outcome("r1").code in there.spec.errors
    event = there.held("event")["e1"]
    assert (event["createdAt"], event["dataFields"], len(there.held("event"))) == (1767225600, {"shop": "Ulm"}, 1)


def test_a_merge_moves_profile_and_events_and_can_be_sent_again(there: Account) -> None:
    there.client.write(batch("users", [ANNA, LI], **NEW))
    there.client.write(batch("events", [VISIT], "append", **NEW))
    pair = merging("users", (ANNA, LI), **NEW)
    for _ in range(2):
        assert statuses(there.client.merge(pair), pair) == ["succeeded"]
    assert list(there.held("user")) == ["li@example.com"]
    assert (there.held("user")["li@example.com"]["userId"], there.held("event")["e1"]["email"]) == (
        "p1",
        "li@example.com",
    )
    there.keep("forgotten", "li@example.com", {"since": 1})
    again = merging("users", (LI, ANNA), **NEW)
    assert statuses(there.client.merge(again), again) == ["rejected"]


def test_deletes_one_by_one_keep_what_is_known_when_the_vendor_fails(there: Account) -> None:
    there.client.write(batch("users", [ANNA, LI], **NEW))
    there.script.rule = lambda number, path: Fault(500, after_effect=True) if "li@" in path else None
    gone = batch("users", [ANNA, LI, {"email": "c@example.com"}], "mirror", "delete", **NEW)
    assert statuses(there.client.delete(gone), gone) == ["succeeded", "in_doubt", "failed"]


def test_limits_wait_and_a_lost_answer_is_an_unknown_effect(there: Account) -> None:
    there.script.by_number = {1: Fault(429, retry_after=3)}
    there.client.write(batch("users", [ANNA], **NEW))
    assert there.calls() == [429, 200]
    there.script.rule = lambda number, path: Fault(500, after_effect=True)
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("users", [LI], **NEW))
    assert (told.value.effect_unknown, len(there.held("user"))) == (True, 2)


def test_a_wrong_key_ends_the_run_and_too_large_a_call_is_refused(tmp_path: Path, there: Account) -> None:
    with pytest.raises(BatchRejectedError) as told:
        there.client.write(batch("users", [{"email": f"p{n}@example.com"} for n in range(1001)], **NEW))
    assert (told.value.code, there.held("user")) == ("BatchTooLarge", {})
    with account(iterable, tmp_path / "other", api_key="wrong") as other, pytest.raises(ConfigurationError):
        other.client.write(batch("users", [ANNA], **NEW))


@pytest.mark.shared_data
def test_requests_and_answers_fit_the_vendors_description(tmp_path: Path) -> None:
    from tests.reverse_etl.destinations.openapi import Held  # takes a second to import

    held = Held(specification("iterable"))
    with account(iterable, tmp_path, around=held.before) as there:
        there.client.write(batch("users", [ANNA, LI, {"email": "wrong"}], **NEW))
        there.client.write(batch("list_members", [{"email": "anna@example.com"}], **LIST))
        there.client.delete(batch("list_members", [{"email": "anna@example.com"}], "mirror", "delete", **LIST))
        there.client.write(batch("events", [VISIT], "append", **NEW))
        there.client.merge(merging("users", (ANNA, LI), **NEW))
        there.client.delete(batch("users", [LI], "mirror", "delete", **NEW))
        before = held.seen
        there.client._rest.call("POST", "/api/lists/subscribe", {"listId": "1234"}, accept=(400,))
    assert (len(held.wrong), before) == (1, 6), held.wrong
    assert "subscribe" in held.wrong[0]
