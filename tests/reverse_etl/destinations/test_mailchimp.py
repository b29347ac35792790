"""Mailchimp's client before an emulated account: members with errors by address, segments, archiving."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import mailchimp
from demo.emulators.faults import Fault
from reverse_etl.destination import BatchRejectedError, SchemaGoneError, UnavailableError
from tests.reverse_etl.destinations.shared import Account, account, batch, mapped, statuses

OPTIONS = {"list_id": mailchimp.LIST, "sync_tags": "false", "skip_merge_validation": "false"}
SEGMENT = {"list_id": mailchimp.LIST, "segment_id": mailchimp.SEGMENT}
ANNA: dict[str, Any] = {
    "email_address": "anna@example.com",
    "status": "subscribed",
    "FNAME": "Anna",
    "SCORE": 7,
    "tags": ["tea"],
}
LI: dict[str, Any] = {"email_address": "li@example.com", "status": "subscribed", "FNAME": "李", "tags": None}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Account]:
    with account(mailchimp, tmp_path) as made:
        yield made


def members(there: Account) -> dict[str, dict[str, Any]]:
    return {each["email_address"]: each for each in there.held("member").values() if not each["archived"]}


def test_members_are_written_changed_and_archived(there: Account) -> None:
    both = batch("members", [ANNA, LI], **OPTIONS)
    for _ in range(2):
        assert statuses(there.client.write(both), both) == ["succeeded", "succeeded"]
    there.client.write(batch("members", [{**ANNA, "FNAME": None, "tags": ["mountains"]}], **OPTIONS))
    anna = members(there)["anna@example.com"]
    assert (anna["merge_fields"], anna["tags"]) == ({"SCORE": 7}, ["mountains", "tea"])
    there.client.write(batch("members", [{**ANNA, "tags": []}], **{**OPTIONS, "sync_tags": "true"}))
    assert members(there)["anna@example.com"]["tags"] == []
    gone = batch("members", [ANNA, {"email_address": "never@example.com"}], "mirror", "delete", **OPTIONS)
    for _ in range(2):
        assert statuses(there.client.delete(gone), gone) == ["succeeded", "succeeded"]
    assert list(members(there)) == ["li@example.com"]
    there.client.write(both)
    assert sorted(members(there)) == ["anna@example.com", "li@example.com"]


def test_errors_in_a_200_name_their_rows(there: Account) -> None:
    there.keep("compliance", "gone@example.com", {})
    rows = [
        ANNA,
        {**LI, "email_address": "x@example.invalid"},
        {**LI, "email_address": "Gone@example.com"},
        {**LI, "SCORE": "many"},
    ]
    mixed = batch("members", rows, **OPTIONS)
    result = there.client.write(mixed)
    assert statuses(result, mixed) == ["succeeded", "rejected", "rejected", "rejected"]
    codes = [result.outcome(f"r{number}").code for number in range(1, 4)]
    assert codes == ["ERROR_GENERIC", "compliance_state", "ERROR_GENERIC"]
    assert set(codes) <= set(there.spec.errors)
    assert there.spec.errors["compliance_state"].meaning == "no_consent"
    assert "SCORE" in result.outcome("r3").reason


def test_who_is_named_nowhere_is_in_doubt(there: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same address in two rows: Mailchimp tells of one only by an error."""
    answer = there.client._rest.call(
        "POST",
        f"/3.0/lists/{mailchimp.LIST}",
        {"members": [{"email_address": "a@example.com", "status": "subscribed"}]},
    )
    monkeypatch.setattr(there.client._rest, "call", lambda *_, **__: answer)
    both = batch("members", [{**ANNA, "email_address": "a@example.com"}, LI], **OPTIONS)
    assert statuses(there.client.write(both), both) == ["succeeded", "in_doubt"]


def test_segments_take_members_of_the_list_only(there: Account) -> None:
    there.client.write(batch("members", [ANNA], **OPTIONS))
    both = batch(
        "segment_members", [{"email_address": "Anna@example.com"}, {"email_address": "no@example.com"}], **SEGMENT
    )
    for _ in range(2):
        result = there.client.write(both)
        assert statuses(result, both) == ["succeeded", "rejected"]
    assert result.outcome("r1").code in there.spec.errors
    assert list(there.held("in_segment")) == ["anna@example.com"]
    gone = batch("segment_members", [dict(row.payload) for row in both.rows], "mirror", "delete", **SEGMENT)
    for _ in range(2):
        assert statuses(there.client.delete(gone), gone) == ["succeeded", "succeeded"]
    assert there.held("in_segment") == {}


def test_list_and_merge_fields_are_checked_before_the_first_row(there: Account) -> None:
    there.client.prepare("members", mapped("FNAME", "SCORE"), OPTIONS)
    with pytest.raises(SchemaGoneError, match="SHOE"):
        there.client.prepare("members", mapped("FNAME", "SHOE"), OPTIONS)
    with pytest.raises(BatchRejectedError) as told:
        there.client.prepare("members", [], {**OPTIONS, "list_id": "1"})
    assert told.value.code in there.spec.errors


def test_a_call_refused_as_a_whole_applies_nothing(there: Account) -> None:
    many = [{"email_address": f"p{n}@example.com", "status": "subscribed"} for n in range(501)]
    for rows in (many, [ANNA, {**LI, "status": "friend"}]):
        with pytest.raises(BatchRejectedError) as told:
            there.client.write(batch("members", rows, **OPTIONS))
        assert told.value.code in there.spec.errors
    assert there.held("member") == {}


def test_limits_wait_and_a_lost_answer_is_an_unknown_effect(there: Account) -> None:
    there.script.by_number = {1: Fault(429)}
    there.client.write(batch("members", [ANNA], **OPTIONS))
    assert there.calls() == [429, 200]
    there.script.rule = lambda number, path: Fault(500, after_effect=True)
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("members", [LI], **OPTIONS))
    assert (told.value.effect_unknown, len(there.held("member"))) == (True, 2)


def test_a_wrong_key_ends_the_run(tmp_path: Path) -> None:
    with account(mailchimp, tmp_path, api_key="wrong") as there, pytest.raises(ConfigurationError, match="mailchimp"):
        there.client.write(batch("members", [ANNA], **OPTIONS))
