"""What becomes of the events of one request: records, copies of what was taken before, and what cannot be used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ingest.collector.events import Arrival, Unusable, record_of, rejection
from ingest.collector.log import Record
from ingest.collector.seen import Seen


@dataclass
class Taken:
    """`ids`: keys in `Seen` that stand for `records`. `kinds`: types of the usable ones; `reasons`: why others are not."""

    records: list[Record] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    duplicates: int = 0
    violations: int = 0


def take(events: list[Any], arrival: Arrival, type_: str | None, seen: Seen) -> Taken:
    """Sort the events of a request. Their ids count as seen from here on: whoever does not store them must forget them."""
    taken = Taken()
    try:
        for event in events:
            reason = ""
            kind, broken = "", 0
            try:
                key, record, kind, broken = record_of(event, arrival, type_)
            except Unusable as unusable:
                reason = str(unusable)
                key, record = rejection(event, reason, arrival)
            if not seen.add(key):
                taken.duplicates += 1
                continue
            taken.ids.append(key)
            taken.records.append(record)
            if reason:
                taken.reasons.append(reason)
            else:
                taken.kinds.append(kind)
                taken.violations += broken
    except BaseException:
        seen.forget(taken.ids)
        raise
    return taken
