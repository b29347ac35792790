"""Rows that come as Python objects (answers of APIs, rows of databases): they become JSON lines and are read as such."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from ingest.json_rows import Lines, json_relation
from ingest.landing import Lander
from ingest.typing import Rejected

_UNUSABLE = "_cdp_unusable"


def land_objects(dlt: Any, lander: Lander, table_name: str, objects: list[Any], origin: str) -> Iterator[Any]:
    """Land objects in their order; their positions count on over the calls of a run."""
    first = lander.count_on(origin, len(objects))
    texts, numbers, rejected = [], [], []
    for number, item in enumerate(objects, first):
        if isinstance(item, dict) and _UNUSABLE in item:
            rejected.append(Rejected(origin, number, item[_UNUSABLE], as_json(item["object"])))
        else:
            texts.append(as_json(item))
            numbers.append(number)
    relation = None
    if texts:
        lines = Lines(origin, pa.array(numbers, pa.int64()), pa.array(texts, pa.large_string()))
        table = lander.source.tables[table_name]
        relation, unreadable = json_relation(lander.con, [lines], table, set(lander.known(table_name)))
        rejected += unreadable
    yield from lander.land(dlt, table_name, relation, rejected)


def land_changed(dlt: Any, lander: Lander, table_name: str, objects: list[Any], origin: str) -> Iterator[Any]:
    """Land the objects that the last reading did not tell just so, for sources that tell everything each time.

    What was told last is kept as digests in the pipeline's state (16 characters an object), committed with the rows.
    """
    state = dlt.current.resource_state()
    before, told = lander.remembered(table_name, state)
    changed = []
    for item in objects:
        text = json.dumps(item, sort_keys=True, ensure_ascii=False, default=_plain)
        digest = hashlib.blake2b(text.encode("utf-8", errors="surrogatepass"), digest_size=8).hexdigest()
        if digest not in before and digest not in told:
            changed.append(item)
        told.add(digest)
    yield from land_objects(dlt, lander, table_name, changed, origin)


def as_json(item: Any) -> str:
    """One line of JSON. What JSON cannot say becomes text; text that UTF-8 cannot say stays escaped."""
    text = json.dumps(item, ensure_ascii=False, default=_plain)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(item, default=_plain)
    return text


def cursor_guard(
    cursor: str, is_right: Callable[[Any], bool], kind: str, *, may_be_missing: bool
) -> Callable[[Any], Any]:
    """A step before dlt's incremental: an object whose cursor is not `kind` would end the run, or move the cursor to where
    nothing comes after it. Such objects are quarantined instead, and do not move the cursor.
    """
    is_simple = "." not in cursor and "[" not in cursor

    def guard(item: Any) -> Any:
        if not isinstance(item, dict) or not is_simple:
            return item
        try:  # dlt would stop at it when it compares rows of one moment
            json.dumps(item, ensure_ascii=False, default=_plain).encode()
        except UnicodeEncodeError:
            return _marked(item, "holds characters that cannot be written")
        value = item.get(cursor)
        if value is None and may_be_missing:
            return item
        if value is None:
            return _marked(item, f"{cursor}: is empty, so changes of the row cannot be followed")
        return item if is_right(value) else _marked(item, f"{cursor}: is not {kind}")

    return guard


def like(initial: Any) -> tuple[Callable[[Any], bool], str]:
    """Whether a cursor is of the kind of an API's first one, and what that kind is called."""
    if isinstance(initial, str) and _moment(initial) is not None:
        return lambda value: isinstance(value, str) and _moment(value) is not None, "a time"
    if isinstance(initial, int | float):
        return lambda value: isinstance(value, int | float) and not isinstance(value, bool), "a number"
    return (lambda value: isinstance(value, str)) if isinstance(initial, str) else (lambda _: True), "a text"


def written_as(formats: list[str]) -> tuple[Callable[[Any], bool], str]:
    """Whether a cursor is a text in one of these strptime formats (any value without formats), and what that is called."""

    def is_right(value: Any) -> bool:
        if not formats:
            return True
        for form in formats:
            try:
                datetime.strptime(str(value), form)  # noqa: DTZ007 - only whether it can be read
                return True
            except ValueError:
                continue
        return False

    return is_right, "written as " + " or ".join(formats)


def latest(values: tuple[Any, ...]) -> Any:
    """The latest of times written in ISO 8601, however precisely and in whatever zone; else the greatest value."""
    moments = [_moment(v) if isinstance(v, str) else None for v in values]
    if any(m is None for m in moments):
        return max(values)
    return max(zip(moments, values, strict=True), key=lambda pair: pair[0].timestamp() if pair[0] else 0)[1]


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _marked(item: dict[str, Any], reason: str) -> dict[str, Any]:
    return {_UNUSABLE: reason, "object": item}


def _plain(value: Any) -> str:
    return value.decode("utf-8", errors="backslashreplace") if isinstance(value, bytes) else str(value)
