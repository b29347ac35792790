"""A typed Python module for producers: one function an event, which calls an SDK of Segment's shape and nothing else."""

from __future__ import annotations

import keyword

from cdp.tracking_plan import Event, Plan, Property, slug

_TYPES = {
    "string": "str", "integer": "int", "number": "float", "boolean": "bool", "date": "str", "datetime": "str",
    "object": "Mapping[str, Any]", "array": "Sequence[Any]",
}  # fmt: skip
_HEAD = '''"""Events of the tracking plan "{name}". Made from the plan; edits are overwritten.

`client` is an SDK with `track`, `page`, `screen`, `identify` and `group` as in segment-analytics-python and rudder-sdk-python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol


class Client(Protocol):
    """What is needed of an SDK."""

    def track(self, *args: Any, **kwargs: Any) -> Any: ...
    def page(self, *args: Any, **kwargs: Any) -> Any: ...
    def screen(self, *args: Any, **kwargs: Any) -> Any: ...
    def identify(self, *args: Any, **kwargs: Any) -> Any: ...
    def group(self, *args: Any, **kwargs: Any) -> Any: ...


def _said(**values: Any) -> dict[str, Any]:
    return {{name: value for name, value in values.items() if value is not None}}
'''


def python_stub(plan: Plan) -> str:
    """The module's text. Deprecated events are left out; planned ones are there."""
    events = [e for _, e in sorted(plan.events.items()) if e.status != "deprecated" and e.type != "alias"]
    return _HEAD.format(name=plan.settings.name) + "".join(_function(e) for e in events)


def _function(event: Event) -> str:
    arguments, said = [], []
    ordered = sorted(event.properties.items(), key=lambda item: not item[1].required)
    taken = {"client", "user_id", "anonymous_id", "group_id", "name"}
    for name, spec in ordered:
        argument = slug(name) or "value"
        if argument in taken or keyword.iskeyword(argument) or argument[0].isdigit():
            argument = f"property_{argument}"
        kind = _type(spec)
        arguments.append(f"    {argument}: {kind},\n" if spec.required else f"    {argument}: {kind} | None = None,\n")
        said.append(f"{name!r}: {argument}")
    text = '"""' + _doc(event) + '"""'
    bag = f"_said(**{{{', '.join(said)}}})"
    where = "user_id=user_id, anonymous_id=anonymous_id"
    first = ""
    if event.call_names:
        names = ", ".join(repr(n) for n in event.call_names)
        arguments.insert(0, f"    name: Literal[{names}],\n")
    elif event.type in ("page", "screen"):
        arguments.insert(0, "    name: str,\n")
    if event.type == "group":
        first = "    group_id: str,\n"
    call = {
        "track": f"client.track(event={event.name!r}, properties={bag}, {where})",
        "page": f"client.page(name=name, properties={bag}, {where})",
        "screen": f"client.screen(name=name, properties={bag}, {where})",
        "identify": f"client.identify(traits={bag}, {where})",
        "group": f"client.group(group_id=group_id, traits={bag}, {where})",
    }[event.type]
    return (
        f"\n\ndef {event.slug}(\n    client: Client,\n    *,\n    user_id: str | None = None,\n"
        f"    anonymous_id: str | None = None,\n{first}{''.join(_required_first(arguments))}) -> None:\n    {text}\n    {call}\n"
    )


def _required_first(arguments: list[str]) -> list[str]:
    return sorted(arguments, key=lambda a: "= None" in a)


def _type(spec: Property) -> str:
    if spec.values and spec.type in ("string", "integer"):
        return f"Literal[{', '.join(repr(v) for v in spec.values)}]"
    return _TYPES[spec.type]


def _doc(event: Event) -> str:
    said = f"{event.description} Why: {event.why}"
    return said.replace("\\", "\\\\").replace('"', "'")
