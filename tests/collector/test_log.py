"""The log: what is acknowledged is on disk, numbers have no holes, and whatever a crash or a full disk leaves is mended.

Crashes of the process are tried in test_crash.py; here are torn ends of every kind, and disks that fail.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from cdp.errors import BusyError, ConfigurationError
from ingest.collector import log as log_module
from ingest.collector.log import Full, Log, NotDurable
from ingest.collector.seen import Seen
from ingest.collector.segments import framed, live, read_sealed, scan, sealed

CUTS = int(os.environ.get("CDP_COLLECTOR_CUTS", "40"))


def opened(folder: Path, **options: Any) -> Log:
    """An open log."""
    log = Log(folder, **({"rotate_seconds": 3600.0} | options))
    log.open()
    return log


def record(number: int) -> tuple[bytes, bytes]:
    """A record with an id."""
    return b"", b'"source":"s","messageId":"m%d"}' % number


async def write(log: Log, first: int, count: int) -> None:
    """Append records one after another."""
    for number in range(first, first + count):
        await log.append([record(number)], [f"s m{number}"])


def found(folder: Path) -> list[tuple[int, str]]:
    """(number, id) of everything in closed segments; numbers must follow one another from each file's name on."""
    pairs = []
    for segment in sealed(folder):
        for place, line in enumerate(read_sealed(segment).splitlines()):
            entry = orjson.loads(line)
            assert entry["sequence"] == segment.first + place
            pairs.append((entry["sequence"], entry["messageId"]))
    return pairs


def test_records_are_numbered_without_holes_over_restarts(tmp_path: Path) -> None:
    for turn in range(4):
        log = opened(tmp_path, segment_bytes=1)
        asyncio.run(write(log, turn * 3, 3))
        log.close()
    assert found(tmp_path) == [(n + 1, f"m{n}") for n in range(12)]
    assert not live(tmp_path)


def test_one_sync_serves_what_came_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = []
    real = os.fdatasync
    monkeypatch.setattr(log_module.os, "fdatasync", lambda fd: (syncs.append(fd), real(fd))[1])
    log = opened(tmp_path)

    async def many() -> None:
        await asyncio.gather(*(log.append([record(n)], [f"s m{n}"]) for n in range(500)))

    asyncio.run(many())
    log.close()
    assert len(found(tmp_path)) == 500
    assert len(syncs) <= 3, "the first request is synced alone, the others together"


def test_any_torn_end_is_cut_off_and_nothing_else(tmp_path: Path) -> None:
    """The live file is cut at chosen bytes, or garbage is put behind it, as a power cut leaves it."""
    seed = 20261121
    print(f"seed={seed}")
    chance = random.Random(seed)
    log = opened(tmp_path / "whole")
    asyncio.run(write(log, 0, 8))
    (segment,) = live(tmp_path / "whole")
    data = segment.path.read_bytes()
    log.close()
    lines = data.splitlines(keepends=True)
    ends = [sum(map(len, lines[:n])) for n in range(len(lines) + 1)]
    tails = [b"", b"\0" * 100, b"\n", b"deadbeef {}\n", b"\xff" * 7, framed(b"{}")[:-1]]
    for turn in range(CUTS):
        cut, tail = chance.randrange(len(data) + 1), chance.choice(tails)
        folder = tmp_path / f"cut{turn}"
        (folder / "live").mkdir(parents=True)
        left = data[:cut] + tail
        (folder / "live" / segment.path.name).write_bytes(left)
        whole = max(n for n, end in enumerate(ends) if left[:end] == data[:end])
        log = opened(folder)
        assert log.next_sequence == whole + 1
        assert log.counters.recovered_records == whole
        torn = left[ends[whole] :]
        assert log.counters.torn_bytes == len(torn)
        kept = b"".join(path.read_bytes() for path in folder.glob("torn/*"))
        assert kept == torn, "what was cut off is kept for a look"
        asyncio.run(write(log, whole, 1))
        log.close()
        assert [n for _, n in found(folder)] == [f"m{n}" for n in range(whole + 1)]


def test_a_flipped_bit_ends_what_is_believed(tmp_path: Path) -> None:
    log = opened(tmp_path)
    asyncio.run(write(log, 0, 5))
    (segment,) = live(tmp_path)
    data = bytearray(segment.path.read_bytes())
    log.close()
    data[len(data) // 2] ^= 4
    other = tmp_path / "other.log"
    other.write_bytes(data)
    assert scan(other).records == 2


def test_damage_that_is_found_when_a_file_is_closed_loses_nothing_silently(tmp_path: Path) -> None:
    """A bit of an acknowledged record flips on the disk: the file is not compressed away; the next start tells the bytes."""
    log = opened(tmp_path)
    asyncio.run(write(log, 0, 5))
    (segment,) = live(tmp_path)
    data = bytearray(segment.path.read_bytes())
    data[len(data) // 2] ^= 4
    segment.path.write_bytes(data)
    log.close()
    assert log.counters.failed_seals == 1
    assert live(tmp_path)
    log = opened(tmp_path)
    assert (log.counters.recovered_records, log.counters.torn_bytes > 0) == (2, True)
    log.close()
    assert [n for _, n in found(tmp_path)] == ["m0", "m1"]
    assert next(tmp_path.glob("torn/*")).stat().st_size == log.counters.torn_bytes


def test_a_crash_between_closing_and_removing_doubles_nothing(tmp_path: Path) -> None:
    log = opened(tmp_path)
    asyncio.run(write(log, 0, 3))
    (segment,) = live(tmp_path)
    data = segment.path.read_bytes()
    log.close()
    segment.path.write_bytes(data)
    (sealed(tmp_path)[0].path.with_suffix(".new")).write_bytes(b"half a file")
    log = opened(tmp_path)
    assert log.next_sequence == 4
    log.close()
    assert len(found(tmp_path)) == 3


def test_ids_are_remembered_over_a_restart(tmp_path: Path) -> None:
    log = opened(tmp_path)
    asyncio.run(write(log, 0, 3))
    log.close()
    log = opened(tmp_path)
    assert "s m2" in log.seen
    assert "s m3" not in log.seen
    log.close()


def test_remembered_ids_are_bounded() -> None:
    seen = Seen(100)
    for number in range(1000):
        assert seen.add(f"k{number}")
        assert not seen.add(f"k{number}")
        assert not seen.add(f"k{max(0, number - 99)}"), "the last hundred are always known"
    assert len(seen) <= 200


@pytest.mark.parametrize("failing", ["write", "fdatasync", "short write"])
def test_a_failed_disk_refuses_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """Everything of the failed group, and what waited behind it, is refused; afterwards it is taken, under the same numbers."""
    monkeypatch.setattr(log_module, "RETRY_SECONDS", 0.0)
    log = opened(tmp_path)
    real_write, real_sync = os.write, os.fdatasync
    broken = {"on": False}

    def bad_write(fd: int, data: Any) -> int:
        if broken["on"]:
            if failing == "short write":
                real_write(fd, bytes(data)[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return real_write(fd, data)

    def bad_sync(fd: int) -> None:
        if broken["on"] and failing == "fdatasync":
            raise OSError(5, "Input/output error")
        real_sync(fd)

    monkeypatch.setattr(log_module.os, "write", bad_write if failing != "fdatasync" else real_write)
    monkeypatch.setattr(log_module.os, "fdatasync", bad_sync)

    async def story() -> None:
        await write(log, 0, 3)
        broken["on"] = True
        for n in range(3, 9):
            log.seen.add(f"s m{n}")
        results = await asyncio.gather(
            *(log.append([record(n)], [f"s m{n}"]) for n in range(3, 9)), return_exceptions=True
        )
        assert all(isinstance(r, NotDurable) for r in results)
        assert log.failure
        assert "s m5" not in log.seen, "what is sent again must not count as a copy"
        broken["on"] = False
        await write(log, 3, 4)
        assert log.failure is None

    asyncio.run(story())
    log.close()
    assert found(tmp_path) == [(n + 1, f"m{n}") for n in range(7)]


def test_waiting_memory_is_bounded(tmp_path: Path) -> None:
    log = opened(tmp_path, queue_bytes=500)

    async def flood() -> list[Any]:
        return await asyncio.gather(*(log.append([record(n)], []) for n in range(100)), return_exceptions=True)

    results = asyncio.run(flood())
    log.close()
    taken = sum(result is None for result in results)
    assert taken == len(found(tmp_path)) < 100
    assert all(isinstance(r, Full) for r in results if r is not None)


def test_two_collectors_cannot_write_one_log(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(BusyError):
        opened(tmp_path)
    log.close()


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigurationError) as error:
        opened(tmp_path / "file" / "log")
    assert "CDP_COLLECTOR_DIR" in str(error.value)


def test_days_never_go_back(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    days = iter([5, 4, 3])
    for turn in range(3):
        today = datetime(2026, 3, next(days), tzinfo=UTC)
        log = opened(tmp_path, clock=lambda today=today: today)
        asyncio.run(write(log, turn, 1))
        log.close()
    assert {segment.day for segment in sealed(tmp_path)} == {"2026-03-05"}
    assert len(found(tmp_path)) == 3
