"""What users of other sync engines complain about, each as a test named for it (the links are the complaints)."""

from __future__ import annotations

import json
import sqlite3

from demo.emulators.faults import Fault
from reverse_etl import control, delivery_log, engine
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
