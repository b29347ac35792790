"""Salesforce's client before an emulated org: jobs of Bulk API 2.0, results by row, tokens that end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import salesforce
from demo.emulators.faults import Fault
from reverse_etl.destination import SchemaGoneError, UnavailableError
from tests.reverse_etl.destinations.shared import Account, account, batch, mapped, statuses

OPTIONS = {"object": "Contact", "external_id": "Tributary_Id__c"}
ANNA: dict[str, Any] = {
    "Tributary_Id__c": "p1",
    "LastName": 'Gro"ß, Anna\nMaria',
    "Email": "anna@example.com",
    "Score__c": 7.5,
    "Vip__c": True,
    "Interests__c": ["tea", "hiking"],
}
LI = {"Tributary_Id__c": "O'Hara\\2", "LastName": "李", "Birthdate": "1990-02-28"}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Account]:
    with account(salesforce, tmp_path) as made:
        yield made


def contacts(there: Account) -> dict[str, dict[str, Any]]:
    return {each["Tributary_Id__c"]: each for each in there.held("Contact").values()}


def test_records_are_made_changed_and_emptied_by_external_id(there: Account) -> None:
    both = batch("contacts", [ANNA, LI], **OPTIONS)
    result = there.client.write(both)
    assert statuses(result, both) == ["succeeded", "succeeded"]
    assert result.outcome("r0").request_id in there.held("job")
    first = contacts(there)
    assert first["p1"] == ANNA | {"Id": first["p1"]["Id"], "Interests__c": "tea;hiking"}
    assert first["O'Hara\\2"] == LI | {"Id": first["O'Hara\\2"]["Id"]}
    there.client.write(both)
    assert contacts(there) == first
    # Null empties the field, a field that is left out stays.
    there.client.write(batch("contacts", [{"Tributary_Id__c": "p1", "Email": None, "Score__c": 0}, LI], **OPTIONS))
    after = contacts(there)["p1"]
    assert ("Email" in after, after["Score__c"], after["LastName"]) == (False, 0, ANNA["LastName"])


def test_each_row_has_its_own_result(there: Account) -> None:
    rows = [
        ANNA,
        {**LI, "Email": "no address"},
        {"Tributary_Id__c": "p3", "Email": "c@example.com"},
        {"Tributary_Id__c": None, "LastName": "Nobody"},
        {**ANNA, "LastName": "Again"},
        {"Tributary_Id__c": "p4", "LastName": "Last"},
    ]
    mixed = batch("contacts", rows, **OPTIONS)
    result = there.client.write(mixed)
    assert statuses(result, mixed) == ["succeeded", "rejected", "rejected", "rejected", "rejected", "succeeded"]
    codes = [result.outcome(f"r{number}").code for number in range(1, 5)]
    assert codes == ["INVALID_EMAIL_ADDRESS", "REQUIRED_FIELD_MISSING", "no_external_id", "same_external_id"]
    assert set(codes) <= set(there.spec.errors)
    assert sorted(contacts(there)) == ["p1", "p4"]


def test_a_locked_record_is_worth_another_try(there: Account) -> None:
    there.keep("lock", "p1", {})
    both = batch("contacts", [ANNA, LI], **OPTIONS)
    result = there.client.write(both)
    assert statuses(result, both) == ["failed", "succeeded"]
    assert result.outcome("r0").code == "UNABLE_TO_LOCK_ROW"
    assert statuses(there.client.write(both), both) == ["succeeded", "succeeded"]


def test_update_only_makes_no_record_and_deletes_find_ids_by_query(there: Account) -> None:
    there.client.write(batch("contacts", [ANNA, LI], **OPTIONS))
    newer = batch("contacts", [{**ANNA, "Score__c": 9}, {**LI, "Tributary_Id__c": "p9"}], "update_only", **OPTIONS)
    result = there.client.write(newer)
    assert statuses(result, newer) == ["succeeded", "rejected"]
    assert result.outcome("r1").code in there.spec.errors
    assert (contacts(there)["p1"]["Score__c"], len(there.held("Contact"))) == (9, 2)
    # 250 ids are more than one query takes; a quote and a backslash are no way out of the text.
    more = [{"Tributary_Id__c": f"n{number}", "LastName": "N"} for number in range(250)]
    there.client.write(batch("contacts", more, **OPTIONS))
    gone = batch("contacts", [LI, {"Tributary_Id__c": "never there"}, *more], "mirror", "delete", **OPTIONS)
    assert set(statuses(there.client.delete(gone), gone)) == {"succeeded"}
    assert list(contacts(there)) == ["p1"]
    assert len(there.calls("%/query")) == 3


def test_long_external_ids_fit_the_url_of_a_query(there: Account) -> None:
    long = [{"Tributary_Id__c": f"{number:03d} " + "长" * 100, "LastName": "N"} for number in range(40)]
    there.client.write(batch("contacts", long, **OPTIONS))
    gone = batch("contacts", long, "mirror", "delete", **OPTIONS)
    assert set(statuses(there.client.delete(gone), gone)) == {"succeeded"}
    assert (there.held("Contact"), set(there.calls("%/query"))) == ({}, {200})


def test_numbers_are_external_ids_too(there: Account) -> None:
    options = {"object": "Loyalty__c", "external_id": "Number__c"}
    card = {"Number__c": 12, "Since__c": "2026-01-01T00:00:00+00:00"}
    there.client.write(batch("records", [card], **options))
    gone = batch("records", [card], "mirror", "delete", **options)
    assert statuses(there.client.delete(gone), gone) == ["succeeded"]
    assert there.held("Loyalty__c") == {}


def test_a_job_that_cannot_be_read_rejects_its_rows_at_once(there: Account) -> None:
    wrong = batch("contacts", [{**ANNA, "Nosuch__c": 1}, LI], **OPTIONS)
    result = there.client.write(wrong)
    assert statuses(result, wrong) == ["rejected", "rejected"]
    assert (result.outcome("r0").code, there.held("Contact")) == ("InvalidBatch", {})


def test_fields_and_the_external_id_are_checked_before_the_first_row(there: Account) -> None:
    there.client.prepare("contacts", mapped("Tributary_Id__c", "LastName"), OPTIONS)
    with pytest.raises(SchemaGoneError, match="Nosuch__c"):
        there.client.prepare("contacts", mapped("Tributary_Id__c", "Nosuch__c"), OPTIONS)
    with pytest.raises(ConfigurationError, match="Email"):
        there.client.prepare("contacts", mapped("Tributary_Id__c", "Email"), {**OPTIONS, "external_id": "Email"})


def test_an_expired_token_is_fetched_anew_and_used_up_calls_are_no_wrong_key(there: Account) -> None:
    there.client.write(batch("contacts", [ANNA], **OPTIONS))
    there.keep("token", next(iter(there.held("token"))), {"expires_at": 0})
    there.client.write(batch("contacts", [LI], **OPTIONS))
    assert (there.calls("%/token"), 401 in there.calls("%/jobs/ingest")) == ([200, 200], True)
    there.script.rule = lambda number, path: Fault(403)
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("contacts", [LI], **OPTIONS))
    assert (told.value.code, told.value.effect_unknown) == ("rate_limit", False)


def test_an_upload_whose_answer_is_lost_never_runs_twice(there: Account) -> None:
    lost = {"/batches": 1}

    def once(_number: int, path: str) -> Fault | None:
        hit = any(path.endswith(end) and left for end, left in lost.items())
        if hit:
            lost[f"/{path.rsplit('/', 1)[1]}"] = 0
        return Fault(500, after_effect=True) if hit else None

    there.script.rule = once
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("contacts", [ANNA], **OPTIONS))
    assert (told.value.effect_unknown, there.held("Contact")) == (False, {})
    there.client.write(batch("contacts", [ANNA], **OPTIONS))
    assert [job["state"] for job in there.held("job").values()] == ["Aborted", "JobComplete"]


def test_a_close_whose_answer_is_lost_is_seen_in_the_jobs_state(there: Account) -> None:
    # Calls: token, job, upload, close.
    there.script.by_number = {4: Fault(500, after_effect=True)}
    one = batch("contacts", [ANNA], **OPTIONS)
    assert statuses(there.client.write(one), one) == ["succeeded"]


def test_a_job_that_takes_too_long_is_aborted_and_its_rows_wait(there: Account) -> None:
    there.keep("slow", "Contact", {"since": 1})
    both = batch("contacts", [ANNA, LI], **OPTIONS)
    result = there.client.write(both)
    assert statuses(result, both) == ["failed", "failed"]
    assert result.outcome("r0").code in there.spec.errors
    there.forget("slow")
    assert statuses(there.client.write(both), both) == ["succeeded", "succeeded"]
    assert [job["state"] for job in there.held("job").values()] == ["Aborted", "JobComplete"]


def test_a_job_nobody_can_ask_for_leaves_doubt(there: Account) -> None:
    there.script.rule = lambda number, path: Fault(503) if "/jobs/ingest/" in path and "batches" not in path else None
    with pytest.raises(UnavailableError) as told:
        there.client.write(batch("contacts", [ANNA], **OPTIONS))
    assert told.value.effect_unknown is False  # it was never closed


def test_a_wrong_secret_ends_the_run(tmp_path: Path) -> None:
    with (
        account(salesforce, tmp_path, client_secret="wrong") as there,
        pytest.raises(ConfigurationError, match="invalid_client"),
    ):
        there.client.write(batch("contacts", [ANNA], **OPTIONS))
