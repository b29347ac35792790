"""The validator and the warehouse judge alike: any plan, any event."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from dbt_declarations import tracking_sql
from ingest.tracking_plan import validator, validator_for
from tests.tracking.plans import events, plans
from tests.tracking.warehouse import connection, judged

EXAMPLES = int(os.environ.get("CDP_TRACKING_EXAMPLES", "60"))
SEED = int(os.environ.get("CDP_TRACKING_SEED", "20260321"))
CON = connection()


@seed(SEED)
@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(plans(), st.lists(events(), min_size=1, max_size=25))
def test_sql_and_python_give_the_same_verdict(plan: object, sent: list[dict[str, object]]) -> None:
    """Rule, property, what was found and what is done about it, for each event."""
    print(f"seed {SEED}, {EXAMPLES} plans")
    judge = validator_for(plan, "website")
    here = [sorted(((v.rule, v.path, v.found, v.action) for v in judge(e).violations), key=str) for e in sent]
    assert here == judged(CON, plan, sent)


def test_both_read_dates_and_names_by_the_same_patterns() -> None:
    """They stand in two places, since neither folder may import the other."""
    for name in ("DATE", "DATETIME", "PLAIN_NAME", "NAME_LENGTH", "SHOWN"):
        assert getattr(validator, name) == getattr(tracking_sql, name), name
