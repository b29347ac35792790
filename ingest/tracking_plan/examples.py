"""Every example of the plan is judged by the plan itself: a declaration that its own example breaks is wrong."""

from __future__ import annotations

from typing import Any

from cdp.errors import DeclarationError
from cdp.tracking_plan import Enforcement, Event, Plan
from ingest.tracking_plan.validator import validator_for


def example_call(event: Event) -> dict[str, Any]:
    """A call as the plan wants it, made of the examples."""
    place = "traits" if event.type in ("identify", "group") else "properties"
    call: dict[str, Any] = {"type": event.type}
    if event.type == "track":
        call["event"] = event.name
    if event.call_names:
        call["name"] = event.call_names[0]
    return {**call, place: {n: spec.example for n, spec in event.properties.items() if spec.example is not None}}


def wrong_examples(plan: Plan) -> list[DeclarationError]:
    """One error for each example that does not fit; a required property without an example is none."""
    everything = Enforcement(
        unplanned_event="flag",
        unplanned_property="flag",
        missing_property="flag",
        invalid_property="flag",
        misplaced_event="allow",
    )
    strict = Plan(
        plan.settings,
        {
            key: event.model_copy(
                update={
                    "enforcement": everything,
                    "properties": {n: p.model_copy(update={"on_violation": None}) for n, p in event.properties.items()},
                }
            )
            for key, event in plan.events.items()
        },
    )
    judge = validator_for(strict)
    found = []
    for document in plan.documents:
        verdict = judge(example_call(document.value))
        for violation in verdict.violations:
            top = violation.path.split("[")[0].split(".")[0]
            if violation.rule == "missing" and violation.path == top:
                continue  # no example was given
            found.append(
                document.error(("properties", top, "example"), f"does not fit: {violation.rule} ({violation.path})")
            )
    return found
