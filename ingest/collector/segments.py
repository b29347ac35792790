"""The files of the collector's log, and how they are read.

    <folder>/log.json                          who this log is, and the next sequence number
    <folder>/live/<first>.log                  what is being written: "<crc32, 8 hex digits> <JSON>" a line
    <folder>/<day>/<first>.jsonl.gz            closed segments: JSON lines, compressed, never changed again
    <folder>/torn/<first>-<offset>.bin         ends of live files that a crash left behind, kept for a look

`<first>` is the sequence number of the segment's first record, in 20 digits: names sort as records came, and the number
of a record is its file's name plus its line. A record's first key says what it is: "sequence" an event, "webhook" a
delivery to a webhook, "rejected" an event that cannot be used.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cdp.errors import ConfigurationError

DIGITS = 20
PREFIX = 9  # crc32 in hex and a space
CHUNK = 256 * 1024
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SEGMENT = re.compile(r"(\d{20})\.jsonl\.gz")
_LIVE = re.compile(r"(\d{20})\.log")


@dataclass(frozen=True)
class Segment:
    """One file of the log. `first`: sequence number of its first record; `day` is empty for a live file."""

    path: Path
    first: int
    day: str = ""

    @property
    def name(self) -> str:
        """The file's place in the log's folder."""
        return f"{self.day}/{self.path.name}" if self.day else f"live/{self.path.name}"


@dataclass(frozen=True)
class Scan:
    """What a live file holds: `records` whole ones up to byte `good`; the file goes on to `size`."""

    records: int
    good: int
    size: int


def framed(record: bytes) -> bytes:
    """A record as a line of a live file."""
    return b"%08x %b\n" % (zlib.crc32(record), record)


def scan(path: Path) -> Scan:
    """How far a live file is whole: every line ends, and its checksum is right."""
    records = good = 0
    with path.open("rb") as file:
        for line in file:
            if not _is_whole(line):
                break
            records += 1
            good += len(line)
    return Scan(records, good, path.stat().st_size)


def live_lines(path: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """(offset behind it, record) of the whole lines of a live file from byte `start` on."""
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not _is_whole(line):
                return
            start += len(line)
            yield start, line[PREFIX:-1]


def sealed(folder: Path, *, since: str = "", until: str = "9999-12-31") -> list[Segment]:
    """Closed segments in the order of their records, of the days from `since` to `until`."""
    found = []
    days = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    for day in days:
        if _DAY.fullmatch(day) and since <= day <= until:
            for path in (folder / day).iterdir():
                if match := _SEGMENT.fullmatch(path.name):
                    found.append(Segment(path, int(match[1]), day))
    return sorted(found, key=lambda segment: segment.first)


def live(folder: Path) -> list[Segment]:
    """Live files in order; the last one is being written when a collector runs."""
    paths = sorted((folder / "live").iterdir()) if (folder / "live").is_dir() else []
    return [Segment(path, int(match[1])) for path in paths if (match := _LIVE.fullmatch(path.name))]


def seal(segment: Segment, folder: Path, day: str) -> Segment:
    """Compress a live file into `day`; the file appears whole or not at all. Raises OSError, also when a line is not whole:
    what was acknowledged and cannot be read any more is left where it is."""
    target = folder / day / f"{segment.first:0{DIGITS}}.jsonl.gz"
    make_folder(target.parent)
    beside = target.with_suffix(".new")
    with beside.open("wb") as file:
        if _compress(segment.path, file) != segment.path.stat().st_size:
            raise OSError(errno.EIO, "a record's checksum is wrong", str(segment.path))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(target)
    sync_folder(target.parent)
    return Segment(target, segment.first, day)


def read_sealed(segment: Segment) -> bytes:
    """The JSON lines of a closed segment. Raises ConfigurationError when it is damaged."""
    try:
        with gzip.open(segment.path, "rb") as file:
            return file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(
            f"a closed segment of the collector's log cannot be read: {type(error).__name__}",
            where=str(segment.path),
            expected="a whole gzip file, as the collector wrote it",
            fix="put the file back from a backup; moved away, what it holds is missing and is reported as a gap",
        ) from None


def log_id(folder: Path) -> str | None:
    """Who the log is; None where there is none."""
    try:
        return str(json.loads((folder / "log.json").read_text(encoding="utf-8"))["log_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def noted_next(folder: Path) -> int:
    """The number of the next record as it was last noted: never less than that behind the last closed segment."""
    try:
        return int(json.loads((folder / "log.json").read_text(encoding="utf-8"))["next"])
    except (OSError, ValueError, KeyError, TypeError):
        return 1


def make_folder(path: Path) -> None:
    """Make a folder so that it is still there after a power cut."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Write a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Write a file's content to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_whole(line: bytes) -> bool:
    if not line.endswith(b"\n") or line[PREFIX - 1 : PREFIX] != b" ":
        return False
    try:
        return int(line[: PREFIX - 1], 16) == zlib.crc32(line[PREFIX:-1])
    except ValueError:
        return False


def _compress(path: Path, target: IO[bytes]) -> int:
    """Bytes of `path` that were whole lines."""
    # level 1: a sixth of the size at 150 MB a second; no name and no time, so that the same records give the same bytes
    offset = 0
    with gzip.GzipFile(filename="", fileobj=target, mode="wb", compresslevel=1, mtime=0) as packed:
        gathered, size = [], 0
        for offset, record in live_lines(path):  # noqa: B007 the last one is what counts
            gathered += [record, b"\n"]
            size += len(record)
            if size > CHUNK:
                packed.write(b"".join(gathered))
                gathered, size = [], 0
        packed.write(b"".join(gathered))
    return offset
