"""The collector's log: closed segments, each record once.

Only closed segments are read: what they hold was acknowledged, and they never change. One number is remembered for a log,
the sequence number behind the last record that was landed, so a load costs what is new, however old the log is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdp.errors import ConfigurationError
from cdp.settings import Settings
from cdp.sources import Source, one_source, raw_table
from ingest.collector.segments import Segment, log_id, noted_next, read_sealed, sealed
from ingest.files import BATCH_BYTES
from ingest.json_rows import Lines, cut_lines, json_relation
from ingest.landing import Lander
from ingest.pipeline import Loaded, load
from ingest.typing import Rejected

EVENTS, WEBHOOKS = "events", "webhooks"
_TABLE_OF = {ord("s"): EVENTS, ord("w"): WEBHOOKS}  # the third byte of a record: {"sequence", {"webhook", {"rejected"
State = dict[str, Any]


@dataclass
class _Batch:
    """What of the log is landed together."""

    lines: dict[str, list[Lines]] = field(default_factory=lambda: {EVENTS: [], WEBHOOKS: []})
    rejected: list[Rejected] = field(default_factory=list)
    size: int = 0


def collector_resources(dlt: Any, source: Source, settings: Settings, lander: Lander) -> list[Any]:
    """One resource for all tables: a segment holds records of each."""
    folder = settings.collector_path

    def rows() -> Iterator[Any]:
        state = dlt.current.resource_state()
        name, next_ = position(settings, state)
        if name is None:
            return
        batch = _Batch()
        for segment in new_segments(settings, state):
            if segment.first > next_ and next_ > 1:
                batch.rejected.append(_gap(name, segment, next_))
            data = read_sealed(segment)
            next_ = segment.first + _add(batch, data, f"{name}/{segment.name}")
            state[name] = {"next": next_, "day": segment.day}
            if batch.size >= BATCH_BYTES:
                yield from _land(dlt, lander, batch)
                batch = _Batch()
        yield from _land(dlt, lander, batch)

    if not folder.is_dir():
        return []
    return [dlt.resource(rows, name=raw_table(source.name, EVENTS), write_disposition="append")]


def replay_log(settings: Settings, since: str, until: str) -> Loaded:
    """Land again what raw lacks of a period, e.g. after raw was lost or segments were put back; hold `writer_lock`."""
    source = one_source("collector", settings).value
    return load(source, settings, lambda dlt, lander: _replayed(dlt, source, settings, lander, since, until))


def _replayed(dlt: Any, source: Source, settings: Settings, lander: Lander, since: str, until: str) -> list[Any]:
    """The records received from `since` to before `until` (ISO 8601, UTC) that raw lacks. What was landed up to stays noted."""
    folder = settings.collector_path
    name = log_id(folder)

    def rows() -> Iterator[Any]:
        for segment in sealed(folder, since=since[:10]):
            data = read_sealed(segment)
            if _received(data) >= until:
                return
            batch, origin = _Batch(), f"{name}/{segment.name}"
            kept = _landed_lines(lander, source, origin)
            _add(batch, data, origin, lambda line, number: since <= _received(line) < until and number not in kept)  # noqa: B023
            yield from _land(dlt, lander, batch)

    return [dlt.resource(rows, name=raw_table(source.name, EVENTS), write_disposition="append")]


def has_new_segments(settings: Settings, state: State) -> bool:
    """Whether a load would find records. `state`: of the source's resource."""
    name, _ = position(settings, state)
    return name is not None and bool(new_segments(settings, state))


def position(settings: Settings, state: State) -> tuple[str | None, int]:
    """(the log, the number behind what was landed of it). Raises ConfigurationError when the log is older than that."""
    name = log_id(settings.collector_path)
    next_ = int(state.get(name or "", {}).get("next", 1))
    if name and noted_next(settings.collector_path) < next_:
        raise ConfigurationError(
            f"the collector's log ends before record {next_}, which was landed",
            where=str(settings.collector_path),
            expected="the log itself, not an older copy: its numbers would be given out a second time",
            fix="put the newer copy back; if there is none, delete log.json there, and the log gets another name",
        )
    return name, next_


def new_segments(settings: Settings, state: State) -> list[Segment]:
    """The closed segments behind what was landed."""
    name, next_ = position(settings, state)
    found = sealed(settings.collector_path, since=str(state.get(name or "", {}).get("day", "")))
    return [segment for segment in found if segment.first >= next_]


def _add(batch: _Batch, data: bytes, origin: str, keep: Any = None) -> int:
    """Sort the lines of a segment into a batch; how many there are."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    kinds = np.frombuffer(data, np.uint8)[starts + 2]
    wanted: npt.NDArray[np.bool_] | None = None
    if keep is not None:
        wanted = np.array([keep(data[a:b], n) for n, (a, b) in enumerate(zip(starts, ends, strict=True), 1)], np.bool_)
    texts = cut_lines(origin, data, 1, ends)
    for kind, table in _TABLE_OF.items():
        mask = kinds == kind if wanted is None else (kinds == kind) & wanted
        if mask.all():
            batch.lines[table].append(texts)
        elif mask.any():
            chosen = pa.array(mask)
            batch.lines[table].append(Lines(origin, texts.numbers.filter(chosen), texts.texts.filter(chosen)))
    for index in np.flatnonzero(kinds == ord("r")):
        if wanted is None or wanted[index]:
            record = json.loads(data[starts[index] : ends[index]])
            reason = record.pop("rejected")
            batch.rejected.append(Rejected(origin, int(index) + 1, reason, json.dumps(record, ensure_ascii=False)))
    batch.size += len(data)
    return len(ends)


def _land(dlt: Any, lander: Lander, batch: _Batch) -> Iterator[Any]:
    for name, lines in batch.lines.items():
        rejected = batch.rejected if name == EVENTS else []
        relation = None
        if lines:
            relation, unreadable = json_relation(lander.con, lines, lander.source.tables[name], set(lander.known(name)))
            rejected = rejected + unreadable
        yield from lander.land(dlt, name, relation, rejected)


def _landed_lines(lander: Lander, source: Source, origin: str) -> set[int]:
    """Positions of a segment whose records are in raw."""
    query = " union all ".join(
        f'select _cdp_row from raw."{raw_table(source.name, t)}" where _cdp_origin = $1' for t in source.tables
    )
    return {int(row) for (row,) in lander.ask(query, [origin])}


def _received(data: bytes) -> str:
    """When the first record of `data` was received."""
    record = json.loads(data[: data.find(b"\n") + 1] or data)
    return str(record["receivedAt"])


def _gap(name: str, segment: Segment, expected: int) -> Rejected:
    text = f"records {expected} to {segment.first - 1} of the log are missing"
    return Rejected(f"{name}/{segment.name}", 0, f"{text}: put their segments back and run cdp collector replay", text)
