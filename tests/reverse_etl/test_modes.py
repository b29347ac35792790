"""What each mode sends, and what it leaves alone."""

from __future__ import annotations

import pytest

from demo.emulators.faults import Fault
from reverse_etl import control, engine
from reverse_etl.errors import BlastRadiusError, ForeignStateError, PausedError
from tests.reverse_etl.webhooks import Endpoint, endpoint

__all__ = ["endpoint"]


def test_upsert_creates_and_updates_and_leaves_what_is_gone(endpoint: Endpoint) -> None:
    endpoint.want({"a": 1, "b": 1})
    assert endpoint.run().created == 2
    endpoint.want({"a": 2, "c": 1})
    result = endpoint.run()
    assert (result.created, result.updated, result.deleted) == (1, 1, 0)
    assert endpoint.held() == {"a": 2, "b": 1, "c": 1}
    assert endpoint.run().sent == 0


def test_update_only_never_creates(endpoint: Endpoint) -> None:
    endpoint.want({"a": 1})
    endpoint.run()
    endpoint.declare("update_only")
    endpoint.want({"a": 2, "new": 1})
    result = endpoint.run()
    assert (result.updated, result.created, result.rejected) == (1, 0, 1)
    assert endpoint.held() == {"a": 2}


def test_create_only_never_updates(endpoint: Endpoint) -> None:
    endpoint.declare("create_only")
    endpoint.want({"a": 1})
    endpoint.run()
    endpoint.want({"a": 2, "b": 1})
    result = endpoint.run()
    assert (result.created, result.updated, result.unchanged) == (1, 0, 1)
    assert endpoint.held() == {"a": 1, "b": 1}


def test_append_sends_each_event_once_even_when_answers_are_lost(endpoint: Endpoint) -> None:
    endpoint.declare("append")
    endpoint.want({f"e{n:03}": n for n in range(250)})
    endpoint.script.rule = lambda number, path: Fault(500, after_effect=True) if number in (1, 2, 3, 4, 5, 6) else None
    endpoint.run()
    endpoint.script.rule = None
    endpoint.run()
    endpoint.want({f"e{n:03}": n + 1 for n in range(300)})  # a changed event is the same event
    assert endpoint.run().appended == 50
    assert endpoint.events() == [f"e{n:03}" for n in range(300)]


def test_delete_removes_the_rows_of_the_source_once_and_again_when_they_come_back(endpoint: Endpoint) -> None:
    endpoint.want({"a": 1, "b": 1, "c": 1})
    endpoint.run()
    endpoint.declare("delete")
    control.reset("rows", endpoint.project.settings, "another mode", new_account=True)
    endpoint.want({"a": 1, "b": 1})
    assert endpoint.run().deleted == 2
    assert endpoint.held() == {"c": 1}
    assert endpoint.run().sent == 0
    endpoint.want({"b": 1})
    assert endpoint.run().sent == 0
    endpoint.want({"a": 1, "b": 1})
    assert endpoint.run().deleted == 1, "a left the list and came back: it is deleted again"


def test_a_template_a_fixed_value_and_omitted_nulls(endpoint: Endpoint) -> None:
    text = (endpoint.project.settings.project_root / "reverse_etl/syncs/rows.yml").read_text()
    more = '  greeting: {template: "Dear {refuse|trim|default:friend}, {{{id|upper}}}"}\n  origin: {value: tributary}\n'
    endpoint.project.sync("rows", text.replace("  refuse: {column: refuse, nulls: omit}\n", more))
    endpoint.want({"a": (1, "  Ada "), "b": (1, None)})
    assert endpoint.run().created == 2
    fields = [f for (f,) in endpoint.query("select fields from held order by key")]
    assert '"greeting": "Dear Ada, {A}"' in fields[0]
    assert '"greeting": "Dear friend, {B}"' in fields[1]
    assert '"origin": "tributary"' in fields[0]
    assert "poison" not in fields[0]


def test_a_plan_file_is_carried_out_or_refused(endpoint: Endpoint) -> None:
    endpoint.want({"a": 1})
    planned = engine.plan("rows", endpoint.project.settings).plan_id
    endpoint.want({"a": 2})
    with pytest.raises(Exception, match="no longer the plan"):
        endpoint.run(exactly=planned)
    endpoint.want({"a": 1})
    assert endpoint.run(exactly=planned).created == 1


def test_a_suspiciously_small_source_deletes_nothing(endpoint: Endpoint) -> None:
    endpoint.declare("mirror", more="")
    text = (endpoint.project.settings.project_root / "reverse_etl/syncs/rows.yml").read_text()
    endpoint.project.sync("rows", text.replace("min_source_percent: 0", "min_source_percent: 50"))
    endpoint.want({f"r{n:03}": n for n in range(120)})
    endpoint.run()
    endpoint.want({f"r{n:03}": n for n in range(30)})
    with pytest.raises(BlastRadiusError, match="min_source_percent"):
        endpoint.run()
    assert len(endpoint.held()) == 120


def test_pause_and_resume(endpoint: Endpoint) -> None:
    endpoint.want({"a": 1})
    control.pause("rows", endpoint.project.settings, "migration")
    with pytest.raises(PausedError, match="migration"):
        endpoint.run()
    control.resume("rows", endpoint.project.settings)
    assert endpoint.run().created == 1


def test_reset_sends_all_again_with_its_reason_and_mirror_still_removes_its_own(endpoint: Endpoint) -> None:
    endpoint.declare("mirror")
    endpoint.want({"a": 1, "b": 1})
    endpoint.run()
    control.reset("rows", endpoint.project.settings, "restored from a backup", new_account=False)
    endpoint.want({"a": 1})
    todo = engine.plan("rows", endpoint.project.settings)
    assert "1 rows are sent again after a reset: restored from a backup" in todo.resync_reason
    result = endpoint.run()
    assert (result.updated, result.deleted) == (1, 1)
    assert endpoint.run().sent == 0, "a reset is done once"


def test_another_account_is_refused_until_it_is_declared_new(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.want({"a": 1})
    endpoint.run()
    monkeypatch.setenv("CDP_WEBHOOK__BASE_URL", f"{endpoint.url}/other")
    with pytest.raises(ForeignStateError, match="another account"):
        endpoint.run()
    control.reset("rows", endpoint.project.settings, "moved", new_account=True)
    assert endpoint.run().created == 1


def test_a_changed_key_forgets_old_keys_and_deletes_nothing(endpoint: Endpoint) -> None:
    endpoint.declare("mirror")
    endpoint.want({"a": 1, "b": 2})
    endpoint.run()
    text = (endpoint.project.settings.project_root / "reverse_etl/syncs/rows.yml").read_text()
    endpoint.project.sync("rows", text.replace("key: id", "key: [id, person_id]"))
    todo = engine.plan("rows", endpoint.project.settings)
    assert "changed (key)" in todo.resync_reason
    result = endpoint.run()
    assert (result.created, result.deleted) == (2, 0)
    assert endpoint.run().sent == 0


def test_merged_persons_are_merged_and_an_unmerge_creates_them_again_once(endpoint: Endpoint) -> None:
    project = endpoint.project
    columns = {"person_id": "varchar", "merged_into": "varchar"}
    project.contract("snd_webhook__merges", columns, "service")
    endpoint.declare("mirror", more="merges: snd_webhook__merges")
    project.fill("snd_webhook__merges", columns, [])
    endpoint.want({"a": 1, "b": 2})
    endpoint.run()
    project.fill("snd_webhook__merges", columns, [("person b", "person a")])
    endpoint.want({"a": 3})
    result = endpoint.run()
    assert (result.updated, result.merged, result.deleted) == (1, 1, 0)
    assert endpoint.query("select operation, key from applied where operation = 'merge'") == [("merge", "b")]
    assert endpoint.run().sent == 0
    project.fill("snd_webhook__merges", columns, [])
    endpoint.want({"a": 1, "b": 2})
    again = endpoint.run()
    assert (again.created, again.updated) == (1, 1)
    assert endpoint.held() == {"a": 1, "b": 2}
    assert endpoint.run().sent == 0, "compensating operations are sent exactly once"
