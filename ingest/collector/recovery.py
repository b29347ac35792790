"""What becomes of live files: closed and compressed in order, also those that a crash left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from cdp.errors import ConfigurationError
from ingest.collector.seen import Seen
from ingest.collector.segments import DIGITS, Segment, live, make_folder, read_sealed, scan, seal, sealed

# segments whose ids are read when the collector starts: about what SDKs still send again
REMEMBERED_SEGMENTS = 40
Day = Callable[[], str]


@dataclass
class Counters:
    """What the log did since it was opened."""

    records: int = 0
    bytes: int = 0
    commits: int = 0
    failed_commits: int = 0
    refused_records: int = 0
    sealed_segments: int = 0
    failed_seals: int = 0
    recovered_records: int = 0
    torn_bytes: int = 0
    last_sync_seconds: float = 0.0


def seal_all(folder: Path, today: Day, counters: Counters, *, but_last: bool) -> None:
    """Compress the live files in order; what fails is tried again with the next one."""
    found = live(folder)
    for segment in found[:-1] if but_last else found:
        try:
            seal(segment, folder, day_of(folder, today))
            segment.path.unlink()
            counters.sealed_segments += 1
        except OSError:
            counters.failed_seals += 1
            return


def day_of(folder: Path, today: Day) -> str:
    """Today, but never a day before one that is there: days sort as records do, whatever the clock does."""
    now = today()
    return max((segment.day for segment in sealed(folder, since=now)), default=now)


def recover(folder: Path, today: Day, counters: Counters) -> int:
    """Seal live files that were left behind, without their torn ends; the number behind all records. Raises OSError."""
    for half in folder.glob("*/*.new"):
        half.unlink()
    done = {segment.first: segment for segment in sealed(folder)}
    for segment in live(folder):
        if segment.first not in done:
            found = scan(segment.path)
            if found.good < found.size:
                _cut(folder, segment, found.good, found.size, counters)
            if found.records:
                counters.recovered_records += found.records
                done[segment.first] = seal(segment, folder, day_of(folder, today))
                counters.sealed_segments += 1
        segment.path.unlink()
    if not done:
        return 1
    last = done[max(done)]
    return last.first + read_sealed(last).count(b"\n")


def remember(folder: Path, seen: Seen) -> None:
    """Read the ids of the newest segments, under the keys of `ingest.collector.events` and `webhooks`."""
    for segment in sealed(folder)[-REMEMBERED_SEGMENTS:]:
        with contextlib.suppress(ConfigurationError):  # a damaged old file is the loader's matter
            for line in read_sealed(segment).split(b"\n"):
                if line:
                    record = orjson.loads(line)
                    mark = "!" if "rejected" in record else ""
                    seen.add(f"{record['source']} {mark}{record['messageId']}")
                    if "signature" in record:
                        seen.add(f"{record['source']} {record['signature']}")


def _cut(folder: Path, segment: Segment, good: int, size: int, counters: Counters) -> None:
    """Keep what lies behind the last whole record for a look: it was never acknowledged."""
    counters.torn_bytes += size - good
    make_folder(folder / "torn")
    kept = folder / "torn" / f"{segment.first:0{DIGITS}}-{good}.bin"
    with segment.path.open("rb") as source, kept.open("wb") as target:
        source.seek(good)
        shutil.copyfileobj(source, target)
    os.truncate(segment.path, good)
