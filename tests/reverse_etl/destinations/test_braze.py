"""Braze's client before an emulator that keeps Braze's limits, partial errors and reset header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import braze
from demo.emulators.faults import Fault
from reverse_etl.destination import BatchRejectedError, UnavailableError
from reverse_etl.destinations.braze.client import _read
from tests.reverse_etl.destinations.shared import Account, account, batch, merging, statuses

ANNA, BEN = {"external_id": "p1", "first_name": "Anna", "cdp_score": 7}, {"external_id": "p2", "first_name": "张三"}
VISIT = {"external_id": "p1", "name": "visited", "time": "2026-01-01T00:00:00Z", "shop": "Leipzig"}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Account]:
    with account(braze, tmp_path) as made:
        yield made


def test_users_are_written_changed_and_deleted(there: Account) -> None:
    both = batch("users", [ANNA, BEN])
    assert statuses(there.client.write(both), both) == ["succeeded", "succeeded"]
    there.client.write(both)
    there.client.write(batch("users", [{**ANNA, "first_name": None}]))
    assert there.held("user") == {"p1": {"external_id": "p1", "cdp_score": 7}, "p2": BEN}
    gone = batch("users", [ANNA, {"external_id": "never there"}], "mirror", "delete")
    assert statuses(there.client.delete(gone), gone) == ["succeeded", "succeeded"]
    assert list(there.held("user")) == ["p2"]


def test_update_only_makes_nobody(there: Account) -> None:
    there.client.write(batch("users", [ANNA]))
    there.client.write(batch("users", [{**ANNA, "cdp_score": 8}, BEN], "update_only"))
    assert there.held("user") == {"p1": {**ANNA, "cdp_score": 8}}


def test_a_merge_keeps_the_values_of_who_stays_and_can_be_sent_again(there: Account) -> None:
    there.client.write(batch("users", [ANNA, BEN]))
    pair = merging("users", (ANNA, BEN))
    for _ in range(2):
        assert statuses(there.client.merge(pair), pair) == ["succeeded"]
    assert there.held("user") == {"p2": {**BEN, "cdp_score": 7}}
    with pytest.raises(BatchRejectedError, match="50"):
        there.client.merge(merging("users", *[(ANNA, BEN)] * 51))


def test_a_wrong_row_is_named_and_the_others_stand(there: Account) -> None:
    mixed = batch("users", [ANNA, {"external_id": "p3", "country": "Germany"}, BEN])
    result = there.client.write(mixed)
    assert statuses(result, mixed) == ["succeeded", "rejected", "succeeded"]
    assert result.outcome("r1").code in there.spec.errors
    events = batch("events", [VISIT, {**VISIT, "time": "yesterday"}], "append")
    assert statuses(there.client.write(events), events) == ["succeeded", "rejected"]
    assert there.held("event")["1"]["properties"] == {"shop": "Leipzig"}


def test_a_call_without_one_good_object_is_refused(there: Account) -> None:
    with pytest.raises(BatchRejectedError, match="Valid data"):
        there.client.write(batch("users", [{"external_id": "p3", "country": "Germany"}]))


@pytest.mark.parametrize(
    ("errors", "processed", "expected"),
    [
        ([], 2, ["succeeded", "succeeded"]),
        ([{"type": "country is invalid", "input_array": "attributes", "index": 1}], 1, ["succeeded", "rejected"]),
        (["minor error message"], 2, ["succeeded", "succeeded"]),
        (["minor error message"], 1, ["in_doubt", "in_doubt"]),
        (["minor error message"], None, ["in_doubt", "in_doubt"]),
    ],
)
def test_minor_errors_count_by_place_or_by_the_number_processed(
    there: Account, errors: list[Any], processed: int | None, expected: list[str]
) -> None:
    """Braze's page "Errors & responses": `"errors": [<minor error message>]`, all that is not named is delivered."""
    both = batch("users", [ANNA, BEN])
    answer = {"message": "success", "errors": errors, "attributes_processed": processed}
    assert statuses(_read(both, "attributes", answer), both) == expected


def test_a_call_refused_as_a_whole_applies_nothing(there: Account) -> None:
    with pytest.raises(BatchRejectedError, match="75"):
        there.client.write(batch("users", [{"external_id": f"p{n}"} for n in range(76)]))
    with pytest.raises(BatchRejectedError, match="50"):
        there.client.delete(batch("users", [{"external_id": f"p{n}"} for n in range(51)], "mirror", "delete"))
    assert there.held("user") == {}


def test_the_reset_header_says_how_long_to_wait(there: Account) -> None:
    there.script.by_number = {1: Fault(429, retry_after=20)}
    there.client.write(batch("users", [ANNA]))
    assert there.calls() == [429, 201]
    there.script.by_number = {3: Fault(429, retry_after=3600)}
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("users", [BEN]))
    assert (told.value.effect_unknown, told.value.code) == (False, "rate_limit")
    assert list(there.held("user")) == ["p1"]


def test_a_lost_answer_is_told_as_an_unknown_effect(there: Account) -> None:
    there.script.rule = lambda number, path: Fault(500, after_effect=number == 1)
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("users", [ANNA]))
    assert told.value.effect_unknown
    assert there.held("user") == {"p1": ANNA}


def test_an_event_whose_answer_was_lost_is_not_sent_again(there: Account) -> None:
    there.script.rule = lambda number, path: Fault(500, after_effect=True)
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("events", [VISIT], "append"))
    assert (told.value.effect_unknown, there.calls(), len(there.held("event"))) == (True, [500], 1)


def test_a_wrong_key_ends_the_run(tmp_path: Path) -> None:
    with account(braze, tmp_path, api_key="wrong") as there, pytest.raises(ConfigurationError, match="braze"):
        there.client.write(batch("users", [ANNA]))
