"""The engine's tests once more, with the ledger on Postgres: what they say of modes and of complaints holds there, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.postgres import Postgres, postgres
from tests.reverse_etl.conftest import Project
from tests.reverse_etl.test_complaints import (
    test_a_member_that_left_and_came_back_is_sent_again,
    test_fire_and_forget_events_are_not_applied_twice,
    test_first_run_with_all_rows_in_error_is_no_success_and_is_retried,
    test_one_bad_row_does_not_hold_up_the_others,
    test_what_ran_can_be_queried_outside_the_engine,
)
from tests.reverse_etl.test_modes import (
    test_a_changed_key_forgets_old_keys_and_deletes_nothing,
    test_another_account_is_refused_until_it_is_declared_new,
    test_append_sends_each_event_once_even_when_answers_are_lost,
    test_create_only_never_updates,
    test_delete_removes_the_rows_of_the_source_once_and_again_when_they_come_back,
    test_merged_persons_are_merged_and_an_unmerge_creates_them_again_once,
    test_pause_and_resume,
    test_reset_sends_all_again_with_its_reason_and_mirror_still_removes_its_own,
    test_update_only_never_creates,
    test_upsert_creates_and_updates_and_leaves_what_is_gone,
)
from tests.reverse_etl.webhooks import Endpoint, endpoint_for

__all__ = [
    "postgres",
    "test_a_changed_key_forgets_old_keys_and_deletes_nothing",
    "test_a_member_that_left_and_came_back_is_sent_again",
    "test_another_account_is_refused_until_it_is_declared_new",
    "test_append_sends_each_event_once_even_when_answers_are_lost",
    "test_create_only_never_updates",
    "test_delete_removes_the_rows_of_the_source_once_and_again_when_they_come_back",
    "test_fire_and_forget_events_are_not_applied_twice",
    "test_first_run_with_all_rows_in_error_is_no_success_and_is_retried",
    "test_merged_persons_are_merged_and_an_unmerge_creates_them_again_once",
    "test_one_bad_row_does_not_hold_up_the_others",
    "test_pause_and_resume",
    "test_reset_sends_all_again_with_its_reason_and_mirror_still_removes_its_own",
    "test_update_only_never_creates",
    "test_upsert_creates_and_updates_and_leaves_what_is_gone",
    "test_what_ran_can_be_queried_outside_the_engine",
]


@pytest.fixture
def endpoint(
    project: Project, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Endpoint]:
    """The endpoint of the other tests; the ledger is an empty schema."""
    project.settings = project.settings.model_copy(update={"ledger_url": SecretStr(postgres.schema_url())})
    with endpoint_for(project, tmp_path, monkeypatch) as served:
        yield served
    assert not project.settings.path("ledger.sqlite").exists(), "nothing of the ledger is elsewhere"
