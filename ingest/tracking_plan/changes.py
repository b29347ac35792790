"""What differs between two plans, and whether it breaks those who send or those who read."""

from __future__ import annotations

from dataclasses import dataclass

from cdp.tracking_plan import Event, Plan, Property, walk

WIDER = {("integer", "number"), ("date", "string"), ("datetime", "string")}


@dataclass(frozen=True)
class Change:
    """One difference. `breaking`: an event that was right may now be wrong, or a reader may no longer find what it read."""

    event: str
    path: str
    what: str
    breaking: bool


def changes(old: Plan, new: Plan) -> list[Change]:
    """All differences that matter, by event and property."""
    found: list[Change] = []
    for key in sorted(old.events.keys() | new.events.keys()):
        before, after = old.events.get(key), new.events.get(key)
        if before is None and after is not None:
            found.append(Change(after.name, "", "is new", False))
        elif after is None and before is not None:
            found.append(Change(before.name, "", "is gone", True))
        elif before is not None and after is not None:
            own = list(_of_event(before, after))
            found += own
            if own and after.version <= before.version:
                found.append(Change(after.name, "", f"changed, but its version is still {after.version}", False))
    return found


def _of_event(before: Event, after: Event) -> list[Change]:
    name = after.name
    found = [Change(name, "", f"is no longer sent by {s}", True) for s in before.sources if s not in after.sources]
    found += [Change(name, "", f"is sent by {s} too", False) for s in after.sources if s not in before.sources]
    if before.status != after.status:
        found.append(Change(name, "", f"is {after.status}, was {before.status}", after.status == "deprecated"))
    if before.call_names and set(before.call_names) - set(after.call_names) and after.call_names:
        gone = ", ".join(sorted(set(before.call_names) - set(after.call_names)))
        found.append(Change(name, "", f"may no longer be called {gone}", True))
    if before.purpose != after.purpose:
        found.append(Change(name, "", f"is collected for {after.purpose}, was for {before.purpose}", True))
    if before.enforcement != after.enforcement:
        found.append(Change(name, "", "is enforced otherwise", False))
    was, now = dict(walk(before.properties, with_items=True)), dict(walk(after.properties, with_items=True))
    for path in sorted(was.keys() | now.keys()):
        if path not in now:
            found.append(Change(name, path, "is gone", True))
        elif path not in was:
            required = now[path].required
            found.append(Change(name, path, "is new and required" if required else "is new", required))
        else:
            found += [Change(name, path, what, breaking) for what, breaking in _of_property(was[path], now[path])]
    return found


def _of_property(before: Property, after: Property) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    if before.type != after.type:
        wider = (before.type, after.type) in WIDER
        found.append((f"is {after.type}, was {before.type}", not wider))
    if before.required != after.required:
        found.append(("is required now", True) if after.required else ("is no longer required", False))
    if before.values != after.values:
        gone = bool(after.values) and (not before.values or bool(set(before.values) - set(after.values)))
        found.append(("allows other values" if gone else "allows more values", gone))
    if before.pattern != after.pattern:
        found.append(("has another pattern" if after.pattern else "has no pattern any more", after.pattern is not None))
    for key, tighter in (("min", 1), ("max", -1), ("max_length", -1)):
        was, now = getattr(before, key), getattr(after, key)
        if was != now:
            narrower = now is not None and (was is None or (now - was) * tighter > 0)
            found.append(
                (f"{key} is {now if now is not None else 'gone'}, was {was if was is not None else 'none'}", narrower)
            )
    if before.pii != after.pii:
        found.append((f"is of PII class {after.pii}, was {before.pii}", after.pii != "none"))
    if before.on_violation != after.on_violation:
        found.append(("is enforced otherwise", False))
    return found
