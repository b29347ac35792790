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

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import re2

from cdp.tracking_plan import ACTIONS, Action, Enforcement, Event, Plan, Property

DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
DATETIME = DATE + r"[T ]([01]\d|2[0-3]):[0-5]\d(:([0-5]\d|60)(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?"
PLAIN_NAME = r"[\p{L}\p{N}_ .:/-]+"  # a name that may be shown, up to NAME_LENGTH; others could be an address
NAME_LENGTH = 80
SHOWN = 40
REMEMBERED, REMEMBERED_LENGTH = 2048, 64  # texts of a pattern whose answer is kept, and how long they may be

Check = Callable[[Any], str | None]


@dataclass(frozen=True, slots=True)
class Violation:
    """`found`: of a text its shape, letters as x and digits as 9; of anything else its type; None when it is missing."""

    rule: str
    path: str
    found: str | None
    action: Action

    def to_dict(self) -> dict[str, str | None]:
        """For JSON; safe to log."""
        return {"rule": self.rule, "path": self.path, "found": self.found, "action": self.action}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`action`: the strictest of the violations; `event`: its name in the plan, None when nobody planned it."""

    event: str | None
    action: Action
    violations: tuple[Violation, ...] = ()

    @property
    def dropped(self) -> tuple[str, ...]:
        """Top-level properties that are left out behind raw."""
        return tuple(sorted({top_of(v.path) for v in self.violations if v.action == "drop"}))


Judge = Callable[[Mapping[str, Any]], Verdict]


def top_of(path: str) -> str:
    """The top-level property of a path: `products` of `products[].price`."""
    return path.split("[", 1)[0].split(".", 1)[0]


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
    judges = {key: _event_judge(plan, event, source) for key, event in plan.events.items()}
    action = plan.enforcement(None, source).unplanned_event or "allow"
    violations = () if action == "allow" else (Violation("unplanned_event", "", None, action),)
    unplanned = Verdict(None, action, violations)

    def judge(event: Mapping[str, Any]) -> Verdict:
        kind = event.get("type")
        if kind == "track":
            name = event.get("event")
            found = judges.get(f"track:{name}") if name.__class__ is str else None
        else:
            found = judges.get(kind) if kind.__class__ is str else None  # type: ignore[arg-type]
        return found(event) if found is not None else unplanned

    return judge


def _event_judge(plan: Plan, event: Event, source: str | None) -> Judge:
    """One event's judge. The way of an event that breaks nothing is the short one."""
    rules = plan.enforcement(event, source)
    if source is not None and source not in event.sources:
        return _elsewhere(event, rules.misplaced_event or "allow")
    checks = [(name, _top_check(name, spec, rules)) for name, spec in event.properties.items()]
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
        for name, check in checks:
            check(get(name), found)
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


def _top_check(name: str, spec: Property, rules: Enforcement) -> Callable[[Any, list[Violation]], None]:
    """Adds what is wrong with a top-level property, and then with what is inside it. Inside, the top-level property's
    `on_violation` holds: only as a whole can it be left out."""
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

    return check


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


def rule_check(spec: Property) -> Check:
    """The first rule that a single value breaks, or None."""
    fits = _TYPES[spec.type]
    conditions = _conditions(spec)
    absent = "missing" if spec.required else None
    if not conditions:
        return lambda value: absent if value is None else None if fits(value) else "wrong_type"

    def check(value: Any) -> str | None:
        if value is None:
            return absent
        if not fits(value):
            return "wrong_type"
        for rule, holds in conditions:
            if not holds(value):
                return rule
        return None

    return check


def _conditions(spec: Property) -> list[tuple[str, Callable[[Any], bool]]]:
    found: list[tuple[str, Callable[[Any], bool]]] = []
    if spec.values:
        found.append(("not_allowed", frozenset(spec.values).__contains__))
    if spec.pattern is not None:
        found.append(("pattern_mismatch", _matcher(spec.pattern)))
    if (longest := spec.max_length) is not None:
        found.append(("too_long", lambda value: len(value) <= longest))
    if (least := spec.min) is not None:
        found.append(("below_minimum", lambda value: float(value) >= least))
    if (most := spec.max) is not None:
        found.append(("above_maximum", lambda value: float(value) <= most))
    return found


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a text matches as a whole. RE2 takes 5 µs a text from Python, and what has a pattern repeats (currencies,
    products, hours), so the last answers are kept."""
    fullmatch = re2.compile(pattern).fullmatch
    known: dict[str, bool] = {}

    def matches(value: str) -> bool:
        answer = known.get(value)
        if answer is None:
            try:
                answer = fullmatch(value) is not None
            except UnicodeEncodeError:  # a lone surrogate is no text
                return False
            if len(value) <= REMEMBERED_LENGTH:
                if len(known) >= REMEMBERED:
                    known.clear()
                known[value] = answer
        return answer

    return matches


def _is_number(value: Any) -> bool:
    if value.__class__ is float:
        return math.isfinite(value)
    if value.__class__ is int:
        return -1e308 < value < 1e308
    return False


def _is_integer(value: Any) -> bool:
    return value.is_integer() if value.__class__ is float else value.__class__ is int and -1e308 < value < 1e308


def _is_date(pattern: str) -> Callable[[Any], bool]:
    matches = _matcher(pattern)
    return lambda value: value.__class__ is str and matches(value)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: value.__class__ is str,
    "number": _is_number,
    "integer": _is_integer,
    "boolean": lambda value: value.__class__ is bool,
    "object": lambda value: value.__class__ is dict,
    "array": lambda value: value.__class__ is list,
    "date": _is_date(DATE),
    "datetime": _is_date(DATETIME),
}
_LETTER, _DIGIT, _CONTROL, _NAME = (re2.compile(p) for p in (r"\p{L}", r"\p{Nd}", r"\p{Cc}", PLAIN_NAME))


def masked(value: Any) -> str | None:
    """What was found without saying it: the shape of a text, else the JSON type."""
    return _shape(value) if value.__class__ is str else None if value is None else _type_of(value)


def shown(name: str) -> str:
    """A name that somebody chose: as it is when it looks like a name, else its shape."""
    try:
        return name if len(name) <= NAME_LENGTH and _NAME.fullmatch(name) else _shape(name)
    except UnicodeEncodeError:
        return _shape(name)


def _shape(text: str) -> str:
    text = text[:SHOWN].encode("utf-8", "replace").decode()
    return str(_CONTROL.sub(" ", _DIGIT.sub("9", _LETTER.sub("x", text))))


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", list: "array", dict: "object", str: "string"}
    return names.get(value.__class__, "null")
