"""The seam to the tracking plan: its compiled validator, when there is a plan.

The collector only tells what breaks the plan (column `violations`, metrics, tail) and keeps every event whole: the plan is
enforced in the warehouse, on events of all sources alike, and a wrong plan can be corrected without asking anybody again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cdp.settings import Settings
from cdp.tracking_plan import has_plan, load_plan
from ingest.collector.events import Validator
from ingest.tracking_plan import validator_for


def plan_validator(settings: Settings, inputs: Iterable[str] = ()) -> Validator | None:
    """The validator of the declared plan, compiled for some inputs at once and for others when they send; None where there is
    no plan. Raises DeclarationError when it is wrong."""
    if not has_plan(settings):
        return None
    judge = validator_for(load_plan(settings))
    for name in inputs:
        judge({}, name)

    def violations(event: dict[str, Any], source: str) -> list[dict[str, Any]]:
        verdict = judge(event, source)
        return [] if verdict.action == "allow" else [violation.to_dict() for violation in verdict.violations]

    return violations
