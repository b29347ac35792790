"""TikTok's client before an emulator that says everything in a 200."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import tiktok_audiences as tiktok
from demo.emulators.faults import Fault
from reverse_etl.destination import BatchRejectedError, UnavailableError
from tests.reverse_etl.destinations.shared import Account, account, batch, statuses

OPTIONS = {"audience_id": tiktok.AUDIENCE}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


ANNA = {"email": digest("anna@example.com"), "phone": digest("4915112345678")}
LI = {"email": digest("li@example.com"), "phone": None}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Account]:
    with account(tiktok, tmp_path) as made:
        yield made


def test_members_come_and_go_by_every_identifier(there: Account) -> None:
    both = batch("audience_members", [ANNA, LI], **OPTIONS)
    for _ in range(2):
        assert statuses(there.client.write(both), both) == ["succeeded", "succeeded"]
    assert len(there.held("member")) == 3
    gone = batch("audience_members", [ANNA], "mirror", "delete", **OPTIONS)
    for _ in range(2):
        assert statuses(there.client.delete(gone), gone) == ["succeeded"]
    assert list(there.held("member")) == [f"EMAIL_SHA256/{LI['email']}"]


def test_a_row_with_nothing_to_match_by_is_told_and_not_sent(there: Account) -> None:
    mixed = batch("audience_members", [{"email": None}, ANNA], **OPTIONS)
    result = there.client.write(mixed)
    assert statuses(result, mixed) == ["rejected", "succeeded"]
    assert result.outcome("r0").code in there.spec.errors
    assert result.outcome("r1").request_id != ""


@pytest.mark.parametrize(
    ("payload", "options"),
    [({"email": "anna@example.com"}, {}), ({"email": digest("")}, {}), (ANNA, {"audience_id": "1"})],
)
def test_a_refusal_in_a_200_takes_nothing(there: Account, payload: dict[str, str], options: dict[str, str]) -> None:
    with pytest.raises(BatchRejectedError) as told:
        there.client.write(batch("audience_members", [LI, payload], **{**OPTIONS, **options}))
    assert (told.value.code, there.held("member"), there.calls()) == ("40002", {}, [200])
    assert told.value.code in there.spec.errors


def test_limits_pass_and_failures_on_their_side_leave_doubt(there: Account) -> None:
    there.script.by_number = {1: Fault(429)}
    there.client.write(batch("audience_members", [LI], **OPTIONS))
    assert there.calls() == [200, 200]
    there.script.rule = lambda number, path: Fault(500, after_effect=True)
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("audience_members", [ANNA], **OPTIONS))
    assert (told.value.effect_unknown, len(there.held("member"))) == (True, 3)
    there.script.rule = lambda number, path: Fault(502)
    with pytest.raises(UnavailableError):
        there.client.write(batch("audience_members", [ANNA], **OPTIONS))


@pytest.mark.parametrize("wrong", [{"access_token": "revoked"}, {"advertiser_ids": "1"}])
def test_wrong_credentials_end_the_run(tmp_path: Path, wrong: dict[str, str]) -> None:
    with account(tiktok, tmp_path, **wrong) as there, pytest.raises(ConfigurationError, match="tiktok"):
        there.client.write(batch("audience_members", [ANNA], **OPTIONS))
