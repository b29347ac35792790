"""Meta's client before an emulator that counts invalid entries, requires the proof and limits the ad account."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import meta_audiences as meta
from demo.emulators.faults import Fault
from reverse_etl.destination import BatchRejectedError, UnavailableError
from tests.reverse_etl.destinations.shared import Account, account, batch, statuses

OPTIONS = {"audience_id": meta.AUDIENCE}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


ANNA = {"email": digest("anna@example.com"), "phone": digest("4915112345678"), "external_id": "p1"}
LI = {"first_name": digest("三"), "last_name": digest("张"), "external_id": "p2", "email": None}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Account]:
    with account(meta, tmp_path) as made:
        yield made


def test_members_come_and_go_by_the_same_values(there: Account) -> None:
    both = batch("audience_members", [ANNA, LI], **OPTIONS)
    there.client.prepare("audience_members", [], OPTIONS)
    for _ in range(2):
        assert statuses(there.client.write(both), both) == ["succeeded", "succeeded"]
    assert [each["EXTERN_ID"] for each in there.held("member").values()] == ["p1", "p2"]
    gone = batch("audience_members", [ANNA], "mirror", "delete", **OPTIONS)
    for _ in range(2):
        assert statuses(there.client.delete(gone), gone) == ["succeeded"]
    assert [each["FN"] for each in there.held("member").values()] == [digest("三")]


def test_an_invalid_entry_refuses_the_call_until_it_stands_alone(there: Account) -> None:
    with pytest.raises(BatchRejectedError, match="1 of 2") as told:
        there.client.write(batch("audience_members", [ANNA, {"email": "anna@example.com"}], **OPTIONS))
    assert told.value.code in there.spec.errors
    # The good one stands: sending it again in a half of the batch changes nothing.
    assert len(there.held("member")) == 1
    with pytest.raises(BatchRejectedError, match="1 of 1"):
        there.client.write(batch("audience_members", [{"email": digest("")}], **OPTIONS))


def test_a_row_with_nothing_to_match_by_is_told_and_not_sent(there: Account) -> None:
    alone = batch("audience_members", [{"email": None, "external_id": ""}], **OPTIONS)
    result = there.client.write(alone)
    assert (statuses(result, alone), there.calls()) == (["rejected"], [])
    assert result.outcome("r0").code in there.spec.errors


def test_the_audience_is_checked_before_the_first_row(there: Account) -> None:
    with pytest.raises(BatchRejectedError, match="LOOKALIKE"):
        there.client.prepare("audience_members", [], {"audience_id": meta.LOOKALIKE})
    with pytest.raises(BatchRejectedError, match="does not exist") as told:
        there.client.prepare("audience_members", [], {"audience_id": "1"})
    assert told.value.code in there.spec.errors


def test_a_call_takes_ten_thousand_members(there: Account) -> None:
    many = [{"external_id": str(number)} for number in range(10_001)]
    with pytest.raises(BatchRejectedError, match="10000"):
        there.client.write(batch("audience_members", many, **OPTIONS))
    assert there.held("member") == {}


@pytest.mark.usefixtures("real_waits")
def test_limits_wait_as_many_minutes_as_meta_says(there: Account) -> None:
    there.script.by_number = {1: Fault(429, retry_after=2)}
    there.client.write(batch("audience_members", [ANNA], **OPTIONS))
    assert there.calls() == [429, 200]
    assert sum(there.waits) == pytest.approx(120, abs=5)
    there.script.by_number = {3: Fault(429, retry_after=60)}
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("audience_members", [LI], **OPTIONS))
    assert (told.value.effect_unknown, told.value.code, len(there.held("member"))) == (False, "rate_limit", 1)


def test_a_lost_answer_is_an_unknown_effect(there: Account) -> None:
    there.script.rule = lambda number, path: Fault(503, after_effect=True)
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("audience_members", [LI], **OPTIONS))
    assert (told.value.effect_unknown, len(there.held("member"))) == (True, 1)


@pytest.mark.parametrize("wrong", [{"access_token": "expired"}, {"app_secret": ""}])
def test_wrong_credentials_end_the_run(tmp_path: Path, wrong: dict[str, str]) -> None:
    with account(meta, tmp_path, **wrong) as there, pytest.raises((ConfigurationError, BatchRejectedError)) as told:
        there.client.write(batch("audience_members", [ANNA], **OPTIONS))
    assert isinstance(told.value, ConfigurationError) or "appsecret_proof" in str(told.value)
    assert there.held("member") == {}
