"""Judges one event against the plan, as fast as closures over plain Python allow; it never raises and changes nothing.

The warehouse judges what was landed by SQL made from the same plan (`dbt_declarations/tracking_sql.py`). Both give the same
verdict: `tests/tracking/test_same_verdict.py` holds them together. What both go by:

* null is not there. Of several things that are wrong with one value the first counts: missing, wrong_type, not_allowed,
  pattern_mismatch, too_long, below_minimum, above_maximum. Of an array's items, the first that is wrong.
* An event that is planned for other sources only is wrong_source, and nothing more is looked at.
* A whole number may be written 1.0. Numbers are compared as doubles; what is beyond a double is no number.
* Patterns are RE2's in both (google-re2 here, DuckDB there), so no text makes them slow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cdp.tracking_plan import ACTIONS, Action, Enforcement, Event, Plan, Property
from ingest.tracking_plan.rules import Check, Quick, quick_check, rule_check
from ingest.tracking_plan.verdict import Verdict, Violation, masked, shown

Judge = Callable[[Mapping[str, Any]], Verdict]
Add = Callable[[Any, list[Violation]], None]
_NEVER = object()  # what no value is


class Validator(Protocol):
    """Judges an event; `source` is who sent it: a name in ingest/sources or an input of the collector, None for any."""

    def __call__(self, event: Mapping[str, Any], source: str | None = None) -> Verdict: ...


def validator_for(plan: Plan, source: str | None = None) -> Validator:
    """A function that judges events by the plan; `source` holds where a call names none. Make it once: it is compiled here,
    for each source when its first event comes."""
    compiled: dict[str | None, Judge] = {}
    default = source

    def judge(event: Mapping[str, Any], source: str | None = None) -> Verdict:
        of = default if source is None else source
        known = compiled.get(of)
        if known is None:
            known = compiled[of] = _source_judge(plan, of)
        return known(event)

    judge({}, source)
    return judge


def _source_judge(plan: Plan, source: str | None) -> Judge:
    made = {key: _event_judge(plan, event, source) for key, event in plan.events.items()}
    tracks = {plan.events[key].name: judge for key, judge in made.items() if plan.events[key].type == "track"}
    others = {plan.events[key].type: judge for key, judge in made.items() if plan.events[key].type != "track"}
    action = plan.enforcement(None, source).unplanned_event or "allow"
    violations = () if action == "allow" else (Violation("unplanned_event", "", None, action),)
    unplanned = Verdict(None, action, violations)

    def judge(event: Mapping[str, Any]) -> Verdict:
        kind = event.get("type")
        if kind == "track":
            name = event.get("event")
            found = tracks.get(name) if name.__class__ is str else None  # type: ignore[arg-type]
        else:
            found = others.get(kind) if kind.__class__ is str else None  # type: ignore[arg-type]
        return found(event) if found is not None else unplanned

    return judge


def _event_judge(plan: Plan, event: Event, source: str | None) -> Judge:
    """One event's judge. The way of an event that breaks nothing is the short one."""
    rules = plan.enforcement(event, source)
    if source is not None and source not in event.sources:
        return _elsewhere(event, rules.misplaced_event or "allow")
    checks = [(name, *_top_check(name, spec, rules)) for name, spec in event.properties.items()]
    planned = frozenset(event.properties)
    unplanned = rules.unplanned_property or "allow"
    fixed = _misplaced(event, rules)
    clean = Verdict(event.name, "allow")
    with_traits = event.type in ("identify", "group")
    call_names = frozenset(event.call_names)

    def judge(payload: Mapping[str, Any]) -> Verdict:
        bag: Any = payload.get("traits" if with_traits else "properties")
        if with_traits and bag is None and (context := payload.get("context")).__class__ is dict:
            bag = context.get("traits")  # type: ignore[union-attr]
        found: list[Violation] = list(fixed)
        if call_names and payload.get("name") not in call_names and rules.misplaced_event != "allow":
            found.append(Violation("name_not_planned", "", None, rules.misplaced_event or "flag"))
        if bag.__class__ is not dict:
            if bag is not None and rules.invalid_property != "allow":
                action = "flag" if rules.invalid_property == "drop" else rules.invalid_property or "flag"
                found.append(Violation("not_an_object", "", masked(bag), action))
            bag = {}
        get = bag.get
        for name, free, classes, fits, check in checks:
            value = get(name)
            if value is free or (value.__class__ in classes and (fits is None or fits(value))):
                continue
            check(value, found)
        if unplanned != "allow" and not planned.issuperset(bag):
            found += [
                Violation("unplanned_property", shown(n), None, unplanned) for n in sorted(bag) if n not in planned
            ]
        return Verdict(event.name, _strictest(found), tuple(found)) if found else clean

    return judge


def _elsewhere(event: Event, action: Action) -> Judge:
    """An event that is planned for other sources only: what it must hold was not said for this one."""
    found = () if action == "allow" else (Violation("wrong_source", "", None, action),)
    verdict = Verdict(event.name, action, found)
    return lambda payload: verdict


def _misplaced(event: Event, rules: Enforcement) -> tuple[Violation, ...]:
    action = rules.misplaced_event or "allow"
    rule = {"planned": "not_live_yet", "deprecated": "deprecated"}.get(event.status)
    return (Violation(rule, "", None, action),) if rule and action != "allow" else ()


def action_of(rule: str, spec: Property, rules: Enforcement) -> Action:
    """What a violation of a property leads to. A missing one cannot be dropped: that is a flag."""
    if rule == "missing":
        wanted: Action = spec.on_violation or rules.missing_property or "flag"
        return "flag" if wanted == "drop" else wanted
    return spec.on_violation or rules.invalid_property or "flag"


def _strictest(found: list[Violation]) -> Action:
    return max((v.action for v in found), key=ACTIONS.index)


def _top_check(name: str, spec: Property, rules: Enforcement) -> tuple[object, frozenset[type], Quick | None, Add]:
    """(a value that is right at once, `quick_check` of the others, what adds all that is wrong with a top-level property).

    Inside a property the top-level one's `on_violation` holds: only as a whole can it be left out.
    """
    rule_of = rule_check(spec)
    missing, invalid = action_of("missing", spec, rules), action_of("wrong_type", spec, rules)
    inner = _inner_checks(name, spec)

    def check(value: Any, found: list[Violation]) -> None:
        rule = rule_of(value)
        if rule is not None:
            action = missing if rule == "missing" else invalid
            if action != "allow":
                found.append(Violation(rule, name, masked(value), action))
        elif inner and value is not None and invalid != "allow":
            for path, values_of, inner_rule in inner:
                for item in values_of(value):
                    rule = inner_rule(item)
                    if rule is not None:
                        found.append(Violation(rule, path, masked(item), invalid))
                        break

    return _NEVER if spec.required else None, *quick_check(spec), check


Inner = tuple[str, Callable[[Any], list[Any]], Check]


def _inner_checks(path: str, spec: Property) -> list[Inner]:
    """Every property below one, as (path, the values there, check), parents before children."""
    found: list[Inner] = []

    def descend(path: str, spec: Property, values_of: Callable[[Any], list[Any]]) -> None:
        if spec.items is not None:

            def items(value: Any) -> list[Any]:
                return [item for one in values_of(value) if one.__class__ is list for item in one]

            found.append((f"{path}[]", items, rule_check(spec.items)))
            descend(f"{path}[]", spec.items, items)
        for name, child in spec.properties.items():

            def fields(value: Any, name: str = name) -> list[Any]:
                return [one.get(name) for one in values_of(value) if one.__class__ is dict]

            found.append((f"{path}.{name}", fields, rule_check(child)))
            descend(f"{path}.{name}", child, fields)

    descend(path, spec, lambda value: [value])
    return found
