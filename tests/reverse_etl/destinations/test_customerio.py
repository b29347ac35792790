"""Customer.io's client before an emulated workspace: batches with errors by place, events once, segments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import customerio
from demo.emulators.faults import Fault
from reverse_etl.destination import BatchRejectedError, UnavailableError
from reverse_etl.destinations.customerio.client import ulid
from tests.reverse_etl.destinations.shared import Account, account, batch, merging, statuses

ANNA: dict[str, Any] = {"id": "p1", "email": "anna@example.com", "score": 7, "unsubscribed": False}
LI: dict[str, Any] = {"id": "p2", "email": "li@example.com", "name": "李", "score": None}
VISIT = {"id": "p1", "event_id": "e1", "name": "Visited", "timestamp": "2026-01-01T00:00:00Z", "shop": "Ulm"}
ULID = "01KDVDNA00" + "A" * 16


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Account]:
    with account(customerio, tmp_path) as made:
        yield made


def test_people_are_written_emptied_and_deleted(there: Account) -> None:
    both = batch("people", [ANNA, LI])
    for _ in range(2):
        assert statuses(there.client.write(both), both) == ["succeeded", "succeeded"]
    there.client.write(batch("people", [{**ANNA, "score": None}]))
    assert there.held("person")["p1"] == {"email": "anna@example.com", "unsubscribed": False}
    gone = batch("people", [ANNA, {"id": "never there"}], "mirror", "delete")
    for _ in range(2):
        assert statuses(there.client.delete(gone), gone) == ["succeeded", "succeeded"]
    assert list(there.held("person")) == ["p2"]


def test_a_207_names_rows_by_their_place(there: Account) -> None:
    rows = [
        ANNA,
        {"id": "p3", "email": "no address"},
        {"id": "p4", "note": "x" * 1001},
        LI,
        {"id": "p5", "a": "y" * 33_000},
    ]
    mixed = batch("people", rows)
    result = there.client.write(mixed)
    assert statuses(result, mixed) == ["succeeded", "rejected", "rejected", "succeeded", "rejected"]
    codes = {result.outcome(f"r{number}").code for number in (1, 2, 4)}
    assert (codes, codes <= set(there.spec.errors)) == ({"invalid", "too_large"}, True)
    assert sorted(there.held("person")) == ["p1", "p2"]


def test_an_event_sent_twice_is_there_once(there: Account) -> None:
    events = batch("events", [VISIT, {**VISIT, "event_id": "e2"}, {**VISIT, "event_id": ULID}], "append")
    for _ in range(2):
        assert statuses(there.client.write(events), events) == ["succeeded"] * 3
    held = there.held("event")
    assert (len(held), held[ULID]["attributes"], held[ULID]["timestamp"]) == (3, {"shop": "Ulm"}, 1767225600)


def test_a_ulid_holds_the_time_and_tells_events_apart() -> None:
    """The first ten letters are the milliseconds: 01ARZ3NDEK of the specification's example is 1469922850259."""
    moment = datetime.fromtimestamp(1469922850.259, UTC)
    made = ulid("e1", moment)
    assert (made[:10], len(made), made) == ("01ARZ3NDEK", 26, ulid("e1", moment))
    assert made != ulid("e2", moment)


def test_objects_are_related_to_people(there: Account) -> None:
    firm = batch("objects", [{"object_id": "acme", "person_id": "p1", "name": "ACME"}], object_type_id="1")
    assert statuses(there.client.write(firm), firm) == ["succeeded"]
    assert (there.held("object"), list(there.held("relationship"))) == ({"1/acme": {"name": "ACME"}}, ["1/acme/p1"])
    gone = batch("objects", [{"object_id": "acme"}], "mirror", "delete", object_type_id="1")
    assert statuses(there.client.delete(gone), gone) == ["succeeded"]
    assert there.held("object") == {}


def test_a_merge_moves_the_person_and_can_be_sent_again(there: Account) -> None:
    there.client.write(batch("people", [ANNA, LI]))
    pair = merging("people", (ANNA, LI))
    for _ in range(2):
        assert statuses(there.client.merge(pair), pair) == ["succeeded"]
    assert there.held("person") == {"p2": {"email": "li@example.com", "name": "李", "score": 7, "unsubscribed": False}}


def test_segments_take_and_lose_people(there: Account) -> None:
    there.client.write(batch("people", [ANNA]))
    both = batch("segment_members", [{"id": "p1"}, {"id": "nobody"}], segment_id=customerio.SEGMENT)
    for _ in range(2):
        assert statuses(there.client.write(both), both) == ["succeeded", "succeeded"]
    assert list(there.held("in_segment")) == ["p1"]
    there.client.delete(both)
    assert there.held("in_segment") == {}
    with pytest.raises(BatchRejectedError, match="segment") as told:
        there.client.write(batch("segment_members", [{"id": "p1"}], segment_id="8"))
    assert told.value.code in there.spec.errors


def test_a_call_refused_as_a_whole_applies_nothing(there: Account) -> None:
    with pytest.raises(BatchRejectedError):
        there.client.write(batch("people", [{"id": f"p{n}", "note": "x" * 900} for n in range(600)]))
    assert there.held("person") == {}


def test_the_largest_batch_of_the_spec_fits_a_call(there: Account) -> None:
    limits = there.spec.objects["people"].batch
    row = {"id": "p" * 150, "note": "x" * (limits.bytes // limits.rows - 180)}  # type: ignore[operator]
    full = batch("people", [row] * limits.rows)
    assert set(statuses(there.client.write(full), full)) == {"succeeded"}


def test_limits_wait_and_a_lost_answer_is_an_unknown_effect(there: Account) -> None:
    there.script.by_number = {1: Fault(429, retry_after=3)}
    there.client.write(batch("people", [ANNA]))
    assert there.calls() == [429, 200]
    there.script.rule = lambda number, path: Fault(500, after_effect=True)
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("people", [LI]))
    assert (told.value.effect_unknown, len(there.held("person"))) == (True, 2)


def test_a_wrong_key_ends_the_run(tmp_path: Path) -> None:
    with account(customerio, tmp_path, api_key="wrong") as there, pytest.raises(ConfigurationError, match="customerio"):
        there.client.write(batch("people", [ANNA]))
