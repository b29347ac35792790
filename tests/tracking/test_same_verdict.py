"""The validator and the warehouse judge alike: any plan, any event."""

from __future__ import annotations

import os
import random
from collections import Counter

from dbt_declarations import tracking_sql
from ingest.tracking_plan import rules, validator_for, verdict
from tests.tracking.plans import a_plan, an_event
from tests.tracking.warehouse import connection, judged

PLANS = int(os.environ.get("CDP_TRACKING_PLANS", "12"))
SEED = int(os.environ.get("CDP_TRACKING_SEED", "1"))
EVENTS = 300
RULES = {
    "unplanned_event", "wrong_source", "not_live_yet", "deprecated", "name_not_planned", "not_an_object", "missing", "wrong_type",
    "not_allowed", "pattern_mismatch", "too_long", "below_minimum", "above_maximum", "unplanned_property",
}  # fmt: skip


def test_sql_and_python_give_the_same_verdict() -> None:
    """Rule, property, what was found and what is done about it, for each event; and every rule was broken by some."""
    print(f"seed {SEED}, {PLANS} plans of {EVENTS} events")
    con, seen = connection(), Counter[str]()
    for number in range(PLANS):
        rng = random.Random(SEED + number)
        plan = a_plan(rng)
        sent = [an_event(rng, plan) for _ in range(EVENTS)]
        judge = validator_for(plan, "website")
        for event, there in zip(sent, judged(con, plan, sent), strict=True):
            here = sorted(((v.rule, v.path, v.found, v.action) for v in judge(event).violations), key=str)
            assert here == there, f"seed {SEED + number}: {event}"
            seen.update(rule for rule, *_ in here)
    assert set(seen) == RULES, sorted(RULES - set(seen))


def test_both_read_dates_and_names_by_the_same_patterns() -> None:
    """They stand in two places, since neither folder may import the other."""
    for name in ("DATE", "DATETIME", "PLAIN_NAME", "NAME_LENGTH", "SHOWN"):
        ours = rules if hasattr(rules, name) else verdict
        assert getattr(ours, name) == getattr(tracking_sql, name), name
