"""Plans and events at random, from a seed: nested, with every rule, and values that fit or nearly fit them."""

from __future__ import annotations

import random
from typing import Any

from cdp.tracking_plan import Enforcement, Event, Plan, PlanSettings, Property

NAMES = ["a", "b_2", "price", "ｎame", "with space"]
PATTERNS = ["[A-Z]{2}-[0-9]+", "a.*b", "(x|yz)+", "[^@]+", r"\d\w\p{L}?", ".{0,5}"]
TEXTS = [
    "",
    "a",
    "AB-1",
    "AB-12345",
    "axb",
    "a\nb",
    "汉字",
    "１２",
    "x'y",
    "é",
    "\u200b",
    "xyz",
    "1ab",
    "mia@x.example",
    "x" * 60,
]
TIMES = [
    "2026-02-30",
    "2026-13-01",
    "2026-01-02",
    "2026-01-02T03:04:05Z",
    "2026-01-02 03:04",
    "2026-01-02T03:04:05.123+08:00",
]
NUMBERS = [0, 1, -2, 3, 0.1, 1.0, -2.0, 2.5, 1e15, 1e300, 10**18, 2**63, 2**64, 10**30, -(10**25), 9.3e-17, -0.0]
ACTIONS = ["allow", "flag", "drop", "block"]
TYPES = ["string", "integer", "number", "boolean", "date", "datetime", "object", "array"]


def a_plan(rng: random.Random) -> Plan:
    """A plan of a few events of several types."""
    settings = PlanSettings(name="p", owner="o", description="d", enforcement=_enforcement(rng, whole=True))
    events = {}
    for kind, name in (("track", "Ev 1"), ("track", "Ev 'two'"), ("page", "Page Viewed"), ("identify", "Identified")):
        event = Event(
            name=name,
            type=kind,
            description="d",
            why="w",
            owner="o",
            status=rng.choice(["live"] * 6 + ["planned", "deprecated"]),
            sources=rng.choice([["website"], ["website", "app"], ["website"], ["app"]]),
            call_names=["Home"] if kind == "page" and rng.random() < 0.5 else [],
            enforcement=_enforcement(rng, whole=False),
            properties={n: _property(rng, 2) for n in rng.sample(NAMES, rng.randint(0, 4))},
        )
        if rng.random() < 0.9:
            events[event.key] = event
    return Plan(settings, events)


def _enforcement(rng: random.Random, *, whole: bool) -> Enforcement:
    without = {
        "unplanned_event": {"drop"},
        "unplanned_property": {"block"},
        "missing_property": {"drop"},
        "invalid_property": set(),
        "misplaced_event": {"drop"},
    }
    said = {
        k: rng.choice([a for a in ACTIONS if a not in no]) for k, no in without.items() if whole or rng.random() < 0.3
    }
    return Enforcement(**said)


def _property(rng: random.Random, depth: int) -> Property:
    kind = rng.choice(TYPES if depth else TYPES[:6])
    more: dict[str, Any] = {}
    if kind == "string":
        more["pattern"] = rng.choice([None, *PATTERNS])
        more["max_length"] = rng.choice([None, 1, 3, 5])
        more["values"] = rng.choice([[], [], rng.sample(TEXTS, 6)])
    elif kind in ("integer", "number"):
        more["values"] = rng.choice([[], [], rng.sample(NUMBERS, 8)])
        more["min"] = rng.choice([None, -2.0, 0, 0.1])
        more["max"] = rng.choice([None, 2.5, 1e15, 1e300])
    elif kind == "array":
        more["items"] = rng.choice([None, _property(rng, depth - 1), _property(rng, depth - 1)])
    elif kind == "object":
        more["properties"] = {n: _property(rng, depth - 1) for n in rng.sample(NAMES, rng.randint(0, 3))}
    on_violation = rng.choice([None, None, None, *ACTIONS])
    return Property(type=kind, description="d", required=rng.random() < 0.4, on_violation=on_violation, **more)


def an_event(rng: random.Random, plan: Plan) -> dict[str, Any]:
    """An event in Segment's shape: mostly of the plan and mostly as it wants it, else anything."""
    planned = rng.choice(list(plan.events.values())) if plan.events and rng.random() < 0.9 else None
    event: dict[str, Any] = {"type": planned.type if planned else rng.choice(["track", "page", "alias", None, "odd"])}
    if event["type"] == "track":
        event["event"] = planned.name if planned else rng.choice(["Page Viewed", "mia@x.example", "", None])
    if rng.random() < 0.7:
        event["name"] = rng.choice(["Home", "Home", "Elsewhere", None])
    bag = _bag(rng, planned) if rng.random() < 0.93 else _anything(rng, 2)
    place = rng.random()
    if planned is None or planned.type not in ("identify", "group"):
        event["properties"] = bag
    elif place < 0.6:
        event["traits"] = bag
    else:
        event["context"] = {"traits": bag}
        if place > 0.8:
            event["traits"] = None
    if rng.random() < 0.03:
        event["context"] = _anything(rng, 1)
    return event


def _bag(rng: random.Random, planned: Event | None) -> dict[str, Any]:
    specs = planned.properties if planned else {}
    bag = {n: _near(rng, spec) for n, spec in specs.items() if rng.random() < 0.9}
    for name in ["more", "mia@x.example", "k" * 90, *NAMES]:
        if rng.random() < 0.04:
            bag[name] = _anything(rng, 2)
    return bag


def _near(rng: random.Random, spec: Property) -> Any:
    """A value of the property's type four times out of five; its other rules may or may not hold."""
    if rng.random() < 0.2:
        return _anything(rng, 2)
    if spec.type == "string":
        return rng.choice(TEXTS + [str(v) for v in spec.values])
    if spec.type in ("integer", "number"):
        return rng.choice(NUMBERS + list(spec.values))
    if spec.type == "boolean":
        return rng.random() < 0.5
    if spec.type == "array":
        items = spec.items
        return [_near(rng, items) if items else _anything(rng, 1) for _ in range(rng.randint(0, 3))]
    if spec.type == "object":
        return {n: _near(rng, inner) for n, inner in spec.properties.items() if rng.random() < 0.9}
    return rng.choice(TIMES)


def _anything(rng: random.Random, depth: int) -> Any:
    kind = rng.randint(0, 5 + 2 * (depth > 0))
    if kind <= 1:
        return rng.choice(TEXTS + TIMES)
    if kind <= 3:
        return rng.choice(NUMBERS) if kind == 2 else rng.uniform(-1e6, 1e6)
    if kind == 4:
        return rng.random() < 0.5
    if kind == 5:
        return None
    if kind == 6:
        return [_anything(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return {n: _anything(rng, depth - 1) for n in rng.sample(NAMES, rng.randint(0, 3))}
