"""The Data Manager's client before an emulator that expires tokens and refuses what are no digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import google_data_manager as google
from demo.emulators.faults import Fault
from reverse_etl.destination import BatchRejectedError, UnavailableError
from tests.reverse_etl.destinations.shared import Account, account, batch, statuses

OPTIONS = {
    "account_id": google.ACCOUNT,
    "login_account_id": "0",
    "audience_id": google.AUDIENCE,
    "ad_user_data": "CONSENT_GRANTED",
    "ad_personalization": "CONSENT_GRANTED",
}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


ANNA = {"email": digest("anna@example.com"), "phone": digest("+4915112345678")}
LI = {"given_name": digest("李"), "family_name": digest("张"), "region_code": "CN", "postal_code": "100000"}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Account]:
    with account(google, tmp_path) as made:
        yield made


def test_members_come_and_go_by_the_same_digests(there: Account) -> None:
    both = batch("audience_members", [ANNA, LI], **OPTIONS)
    result = there.client.write(both)
    assert statuses(result, both) == ["succeeded", "succeeded"]
    assert result.outcome("r0").request_id.startswith("request-")
    there.client.write(both)
    assert len(there.held("member")) == 2
    gone = batch("audience_members", [ANNA], "mirror", "delete", **OPTIONS)
    assert statuses(there.client.delete(gone), gone) == ["succeeded"]
    assert ["addressInfo" in member for member in there.held("member")] == [True]


def test_a_row_with_nothing_to_match_by_is_told_and_not_sent(there: Account) -> None:
    mixed = batch("audience_members", [{**LI, "postal_code": None}, ANNA], **OPTIONS)
    result = there.client.write(mixed)
    assert statuses(result, mixed) == ["rejected", "succeeded"]
    assert result.outcome("r0").code in there.spec.errors
    calls = len(there.calls())
    alone = batch("audience_members", [{"email": None}], **OPTIONS)
    assert statuses(there.client.write(alone), alone) == ["rejected"]
    assert len(there.calls()) == calls


def test_an_expired_token_is_fetched_anew(there: Account) -> None:
    there.client.write(batch("audience_members", [ANNA], **OPTIONS))
    there.forget("token")
    there.client.write(batch("audience_members", [LI], **OPTIONS))
    assert there.calls("%/token") == [200, 200]
    assert there.calls("%:ingest") == [200, 401, 200]


@pytest.mark.parametrize(
    ("payload", "options", "code"),
    [
        ({"email": "anna@example.com"}, {}, "INVALID_ARGUMENT"),
        ({"email": digest("")}, {}, "INVALID_ARGUMENT"),
        (ANNA, {"audience_id": "1"}, "NOT_FOUND"),
    ],
)
def test_a_refusal_takes_nothing_and_names_its_code(
    there: Account, payload: dict[str, str], options: dict[str, str], code: str
) -> None:
    with pytest.raises(BatchRejectedError) as told:
        there.client.write(batch("audience_members", [LI, payload], **{**OPTIONS, **options}))
    assert (told.value.code, code in there.spec.errors, there.held("member")) == (code, True, {})


def test_throttling_waits_and_a_lost_answer_is_an_unknown_effect(there: Account) -> None:
    there.script.by_number = {2: Fault(429, retry_after=3)}
    there.client.write(batch("audience_members", [ANNA], **OPTIONS))
    assert there.calls("%:ingest") == [429, 200]
    there.script.rule = lambda number, path: Fault(500, after_effect=True)
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("audience_members", [LI], **OPTIONS))
    assert (told.value.effect_unknown, len(there.held("member"))) == (True, 2)


def test_a_wrong_refresh_token_ends_the_run(tmp_path: Path) -> None:
    with (
        account(google, tmp_path, refresh_token="gone") as there,
        pytest.raises(ConfigurationError, match="invalid_grant"),
    ):
        there.client.write(batch("audience_members", [ANNA], **OPTIONS))
