"""What users of other sync engines complain about, each as a test named for it (the links are the complaints)."""

from __future__ import annotations

import json
import sqlite3

import pytest

from cdp.errors import DeclarationError
from demo.emulators.faults import Fault
from reverse_etl import catalog, control, delivery_log, engine
from tests.reverse_etl.webhooks import Endpoint, endpoint

__all__ = ["endpoint"]


def log_lines(endpoint: Endpoint, log: str = delivery_log.DELIVERIES) -> list[dict[str, object]]:
    folder = delivery_log.folder(endpoint.project.settings, log) / "rows"
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def test_first_run_with_all_rows_in_error_is_no_success_and_is_retried(endpoint: Endpoint) -> None:
    """Multiwoven/multiwoven#923: success was shown, and every later run skipped the rows."""
    endpoint.want({f"r{n}": (n, "bad") for n in range(10)})
    first = endpoint.run()
    assert (first.ok, first.rejected, first.created) == (False, 10, 0)
    assert {line["reason"] for line in log_lines(endpoint)} == {"refused •••"}
    assert endpoint.run().rejected == 10, "tried again, not skipped"
    endpoint.want({f"r{n}": n for n in range(10)})
    assert endpoint.run().created == 10


def test_full_refresh_flushes_what_was_remembered(endpoint: Endpoint) -> None:
    """Multiwoven/multiwoven#74."""
    endpoint.want({"a": 1})
    endpoint.run()
    control.reset("rows", endpoint.project.settings, "asked for", new_account=False)
    assert endpoint.run().updated == 1


def test_mirror_leaves_rows_of_others_alone(endpoint: Endpoint) -> None:
    """drt-hub/drt#686, #687: only rows that we created."""
    endpoint.declare("mirror")
    endpoint.want({"a": 1, "b": 1})
    endpoint.run()

    # The other application writes to the endpoint itself.
    with sqlite3.connect(endpoint.database) as con:
        con.execute("insert into held values ('rows', 'of another application', '{\"value\": 7}')")
    endpoint.want({"a": 1})
    assert endpoint.run().deleted == 1
    assert endpoint.held() == {"a": 1, "of another application": 7}


def test_incremental_needs_no_cursor_column(endpoint: Endpoint) -> None:
    """drt-hub/drt#755: the difference is found without a date of change."""
    endpoint.want({f"r{n:03}": n for n in range(200)})
    endpoint.run()
    endpoint.want({f"r{n:03}": n if n != 77 else -1 for n in range(200)})
    result = endpoint.run()
    assert (result.updated, result.unchanged) == (1, 199)


def test_fire_and_forget_events_are_not_applied_twice(endpoint: Endpoint) -> None:
    """drt-hub/drt#1047, #897: an idempotency key for each batch."""
    endpoint.declare("append")
    endpoint.want({f"e{n}": n for n in range(20)})
    endpoint.script.rule = lambda number, path: Fault(500, after_effect=True)
    assert endpoint.run().in_doubt == 20
    endpoint.script.rule = None
    endpoint.run()
    assert sorted(endpoint.events()) == sorted(f"e{n}" for n in range(20))
    keys = {key for (key,) in endpoint.query("select webhook_id from call")}
    assert len(keys) == 1, "every call of the batch had its key"


def test_what_ran_can_be_queried_outside_the_engine(endpoint: Endpoint) -> None:
    """drt-hub/drt#756, #920; segmentio/segment-docs#7399: logs of runs, plans and rows for the warehouse."""
    endpoint.want({"a": 1, "b": (2, "x")})
    endpoint.run()
    (run,) = log_lines(endpoint, delivery_log.RUNS)
    assert (run["status"], run["created"], run["rejected"], run["source_rows"]) == ("failed", 1, 1, 2)
    plans = log_lines(endpoint, delivery_log.PLANS)
    assert [(line["operation"], line["row_count"]) for line in plans] == [("create", 2)]
    rows = {str(line["status"]): line for line in log_lines(endpoint)}
    assert rows["rejected"]["error_class"] == "invalid_value"
    assert rows["succeeded"]["request_id"]
    assert '"a"' not in json.dumps(rows), "no key in clear"


def test_a_member_that_left_and_came_back_is_sent_again(endpoint: Endpoint) -> None:
    """grouparoo/grouparoo#1685."""
    endpoint.declare("mirror")
    endpoint.want({"a": 1, "b": 1})
    endpoint.run()
    endpoint.want({"a": 1})
    endpoint.run()
    endpoint.want({"a": 1, "b": 1})
    assert endpoint.run().created == 1
    assert endpoint.held() == {"a": 1, "b": 1}


def test_one_bad_row_does_not_hold_up_the_others(endpoint: Endpoint) -> None:
    """grouparoo/grouparoo#267: deletes stuck behind failing exports. The poisoned batch is halved."""
    endpoint.want({f"r{n:02}": (n, None, n == 41) for n in range(60)})
    result = endpoint.run()
    assert (result.created, result.rejected) == (59, 1)
    assert engine.plan("rows", endpoint.project.settings).counts["create"] == 1


def test_a_merge_of_persons_does_not_lose_the_member(endpoint: Endpoint) -> None:
    """PostHog/posthog#9747, #14356: after a merge the person was gone from what had been sent until all was computed anew."""
    merges, columns = "snd_webhook__merges", {"person_id": "varchar", "merged_into": "varchar"}
    endpoint.project.contract(merges, columns, "service")
    endpoint.declare("mirror", more=f"merges: {merges}")
    endpoint.project.fill(merges, columns, [])
    endpoint.want({"loser": 1, "winner": 2})
    endpoint.run()
    endpoint.project.fill(merges, columns, [("person loser", "person winner")])
    endpoint.want({"winner": 2})
    assert (endpoint.run().merged, endpoint.held()) == (1, {"winner": 2})

    # CleverTap/clevertap-ios-sdk#167: the "de-merge" says success, and nothing happens.
    endpoint.project.fill(merges, columns, [])
    endpoint.want({"loser": 1, "winner": 2})
    assert (endpoint.run().created, endpoint.held()) == (1, {"loser": 1, "winner": 2})


def test_deleting_works_wherever_the_vendor_can_and_not_for_a_list(endpoint: Endpoint) -> None:
    """rudderlabs/rudder-server#3946: the mode `delete` follows the spec, and a destination that cannot delete says so."""
    can = {
        name for name in catalog.destination_names() for o in catalog.destination(name).objects.values() if o.deletes
    }
    assert {"hubspot", "webhook", "sftp_csv"} <= can
    endpoint.declare("append")
    text = (endpoint.project.settings.project_root / "reverse_etl/syncs/rows.yml").read_text()
    endpoint.project.sync("rows", text.replace("mode: append", "mode: delete"))
    with pytest.raises(DeclarationError, match="webhook cannot delete events"):
        endpoint.run()
