"""Looking at the log from outside: a live view and figures, also while a collector writes it. Values of persons are masked."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import orjson

from cdp.errors import ConfigurationError
from ingest.collector.segments import live, live_lines, log_id, noted_next, read_sealed, scan, sealed

_POLL_SECONDS = 0.25
_COLUMNS = {
    "rejected": "VARCHAR",
    "webhook": "VARCHAR",
    "source": "VARCHAR",
    "type": "VARCHAR",
    "event": "VARCHAR",
    "topic": "VARCHAR",
    "receivedAt": "VARCHAR",
}


@dataclass(frozen=True)
class Figure:
    """How often one kind of record came in a period, and when first and last."""

    source: str
    kind: str
    name: str
    records: int
    first_at: str
    last_at: str


def check_folder(folder: Path) -> None:
    """Raises ConfigurationError when there is no log."""
    if log_id(folder) is None:
        raise ConfigurationError(
            "there is no collector's log", where=str(folder), expected="log.json", fix="start one: cdp collector serve"
        )


def newest(folder: Path, count: int) -> list[dict[str, Any]]:
    """The last records, oldest first."""
    found = _live_records(folder, {})
    for segment in reversed(sealed(folder)):
        if len(found) >= count:
            break
        first = found[0]["sequence"] if found else None
        older = [orjson.loads(line) for line in read_sealed(segment).splitlines()]
        found = [record for record in older if first is None or record["sequence"] < first] + found
    return found[-count:] if count else []


def next_number(folder: Path) -> int:
    """The number the next record gets."""
    return noted_next(folder) + sum(scan(segment.path).records for segment in live(folder)[-1:])


def follow(folder: Path, next_: int) -> Iterator[dict[str, Any]]:
    """Records from number `next_` on as they become durable, for ever."""
    offsets: dict[Path, int] = {}
    while True:
        before = next_
        for record in _from(folder, next_, offsets):
            if record["sequence"] >= next_:
                next_ = record["sequence"] + 1
                yield record
        if before == next_:
            time.sleep(_POLL_SECONDS)


def masked(record: dict[str, Any]) -> dict[str, str]:
    """A record without values of persons: names of fields, and the shapes of ids (x a letter, 9 a digit)."""
    kind = "set aside" if "rejected" in record else "webhook" if "webhook" in record else str(record.get("type"))
    fields = record.get("payload") if "webhook" in record else record.get("properties") or record.get("traits")
    library = (record.get("context") or {}).get("library") if isinstance(record.get("context"), dict) else None
    return {
        "sequence": str(record["sequence"]),
        "received_at": str(record.get("receivedAt", "")),
        "source": str(record.get("source", "")),
        "kind": kind,
        "name": str(record.get("rejected") or record.get("topic") or record.get("event") or record.get("name") or ""),
        "user": _shape(record.get("userId")),
        "anonymous": _shape(record.get("anonymousId")),
        "fields": ", ".join(sorted(fields)[:12]) if isinstance(fields, dict) else "",
        "library": f"{library.get('name')} {library.get('version')}" if isinstance(library, dict) else "",
        "violations": ", ".join(sorted({str(v.get("rule")) for v in record.get("violations") or []})),
    }


def figures(folder: Path, since: str, until: str) -> list[Figure]:
    """Records of closed segments by source, kind and name. `since`, `until`: ISO 8601 in UTC; empty: all."""
    import duckdb

    paths = [str(segment.path) for segment in sealed(folder, since=since[:10])]
    if not paths:
        return []
    with duckdb.connect() as con:
        rows = con.execute(
            """
            select
                coalesce(source, ''),
                case when rejected is not null then 'set aside' when webhook is not null then 'webhook' else type end as kind,
                coalesce(rejected, topic, event, '') as name,
                count(*),
                min("receivedAt"),
                max("receivedAt")
            from read_json($paths, format = 'newline_delimited', columns = $columns, maximum_object_size = 33554432)
            where ($since = '' or "receivedAt" >= $since) and ($until = '' or "receivedAt" < $until)
            group by all order by 4 desc, 1, 2, 3
            """,
            {"paths": paths, "columns": _COLUMNS, "since": since, "until": until},
        ).fetchall()
    return [Figure(*row) for row in rows]


def _from(folder: Path, next_: int, offsets: dict[Path, int]) -> list[dict[str, Any]]:
    """Records that may be new, in order. Live files are read first: one that is closed meanwhile is met as a closed one."""
    found = _live_records(folder, offsets)
    begins = found[0]["sequence"] if found else next_
    missed = begins > next_ or (not found and noted_next(folder) > next_)  # closed before they were read here
    closed = sealed(folder) if missed else []
    older: list[dict[str, Any]] = []
    for segment, following in zip_longest(closed, closed[1:]):
        if following is None or following.first > next_:
            older += [orjson.loads(line) for line in read_sealed(segment).splitlines()]
    return [record for record in older if record["sequence"] < begins or not found] + found


def _live_records(folder: Path, offsets: dict[Path, int]) -> list[dict[str, Any]]:
    """What stands in live files behind `offsets`, which move on."""
    found = []
    for segment in live(folder):
        try:
            for offset, record in live_lines(segment.path, offsets.get(segment.path, 0)):
                offsets[segment.path] = offset
                found.append(orjson.loads(record))
        except FileNotFoundError:
            continue  # it was closed meanwhile
    return found


def _shape(value: Any) -> str:
    return re.sub(r"\d", "9", re.sub(r"[^\W\d_]", "x", str(value)))[:24] if value is not None else ""
