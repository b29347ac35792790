"""Plans and events made at random by hypothesis: nested, with every rule, and values near the rules' edges."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cdp.tracking_plan import Enforcement, Event, Plan, PlanSettings, Property

NAMES = ["a", "b_2", "price", "ｎame", "with space"]
PATTERNS = ["[A-Z]{2}-[0-9]+", "a.*b", "(x|yz)+", "[^@]+", r"\d\w\p{L}?", ".{0,5}"]
SOURCES = ["website", "app"]
ACTIONS = ["allow", "flag", "drop", "block"]
_TYPES = ["string", "integer", "number", "boolean", "date", "datetime", "object", "array"]


@st.composite
def properties(draw: st.DrawFn, depth: int = 2) -> Property:
    """A property of any type; arrays and objects hold others."""
    kind = draw(st.sampled_from(_TYPES if depth else _TYPES[:6]))
    more: dict[str, Any] = {}
    if kind == "string":
        more["pattern"] = draw(st.none() | st.sampled_from(PATTERNS))
        more["max_length"] = draw(st.none() | st.integers(1, 5))
        more["values"] = draw(st.just([]) | st.lists(st.sampled_from(["a", "AB-1", "x'y", "axb", "汉字"]), max_size=3))
    elif kind in ("integer", "number"):
        more["values"] = draw(st.just([]) | st.lists(st.integers(-3, 3), max_size=4))
        more["min"] = draw(st.none() | st.sampled_from([-2.0, 0, 0.1, 1e15]))
        more["max"] = draw(st.none() | st.sampled_from([1e15, 1e300, 2.0e16]))
    elif kind == "array":
        more["items"] = draw(st.none() | properties(depth - 1))
    elif kind == "object":
        more["properties"] = draw(st.dictionaries(st.sampled_from(NAMES), properties(depth - 1), max_size=3))
    on_violation = draw(st.none() | st.sampled_from(ACTIONS))
    return Property(type=kind, description="d", required=draw(st.booleans()), on_violation=on_violation, **more)


@st.composite
def enforcements(draw: st.DrawFn, whole: bool) -> Enforcement:
    """What is done about violations."""
    said = {}
    for key, without in (
        ("unplanned_event", {"drop"}),
        ("unplanned_property", {"block"}),
        ("missing_property", {"drop"}),
        ("invalid_property", set()),
        ("misplaced_event", {"drop"}),
    ):
        if whole or draw(st.booleans()):
            said[key] = draw(st.sampled_from([a for a in ACTIONS if a not in without]))
    return Enforcement(**said)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A plan of up to four events."""
    settings = PlanSettings(name="p", owner="o", description="d", enforcement=draw(enforcements(True)))
    events = {}
    for kind, name in (("track", "Ev 1"), ("track", "Ev 'two'"), ("page", "Page Viewed"), ("identify", "Identified")):
        if draw(st.integers(0, 3)) == 0 and events:
            continue
        event = Event(
            name=name,
            type=kind,
            description="d",
            why="w",
            owner="o",
            status=draw(st.sampled_from(["live", "live", "live", "planned", "deprecated"])),
            sources=draw(st.sampled_from([["website"], ["website", "app"], ["app"]])),
            call_names=["Home"] if kind == "page" and draw(st.booleans()) else [],
            enforcement=draw(enforcements(False)),
            properties=draw(st.dictionaries(st.sampled_from(NAMES), properties(), max_size=4)),
        )
        events[event.key] = event
    return Plan(settings, events)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-4, 4),
    st.sampled_from([0.1, 1.0, -2.0, 2.5, 1e15, 1e300, 10**18, 2**63, 2**64, 10**30, -(10**25)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "AB-1", "AB-12345", "axb", "a\nb", "汉字", "１２", "x'y", "é", "\u200b", "xyz", "1ab"]),
    st.sampled_from(["2026-02-30", "2026-13-01", "2026-01-02T03:04:05Z", "2026-01-02 03:04", "2026-01-02T03:04:05.123+08:00"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3), max_leaves=6
)
BAGS = st.one_of(
    st.dictionaries(st.sampled_from([*NAMES, "more", "mia@x.example", "k" * 90]), VALUES, max_size=6),
    VALUES,
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An event in Segment's shape, with anything as its properties."""
    kind = draw(st.sampled_from(["track", "track", "track", "page", "identify", "alias", None, "odd"]))
    event: dict[str, Any] = {"type": kind}
    if kind == "track":
        event["event"] = draw(st.sampled_from(["Ev 1", "Ev 1", "Ev 'two'", "Page Viewed", "mia@x.example", "", None]))
    if draw(st.booleans()):
        event["name"] = draw(st.sampled_from(["Home", "Elsewhere", None]))
    if draw(st.integers(0, 9)):
        event["properties"] = draw(BAGS)
    if draw(st.booleans()):
        event["traits"] = draw(BAGS)
    if draw(st.booleans()):
        event["context"] = draw(st.just({"traits": draw(BAGS)}) | VALUES)
    return event
