"""A real collector whose disk fills up under load, or may not be written: told at once, and nothing acknowledged is lost."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import orjson
import pytest

from ingest.collector.segments import read_sealed, sealed
from tests.collector.running import Running, by_id


def test_a_full_disk_under_load(own_collector: Callable[..., Running], tmp_path: Path) -> None:
    """The real process on a real small disk: 503 with Retry-After while it is full, nothing acknowledged is lost, and it goes
    on when there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m tmpfs {disk} 2>/dev/null") != 0:  # noqa: S605 a fixed command
        pytest.skip("needs the right to mount a small file system")
    collector = None
    try:
        collector = own_collector(CDP_COLLECTOR_DIR=str(disk / "log"))
        taken, refused = [], []
        for number in range(40):
            batch = [
                {
                    "type": "track",
                    "event": "E",
                    "messageId": f"{number}-{n}",
                    "userId": "u",
                    "properties": {"t": "x" * 900},
                }
                for n in range(50)
            ]
            answer = collector.post("/v1/batch", {"batch": batch})
            (taken if answer.status_code == 200 else refused).append((answer, batch))
            if len(refused) == 3:
                break
        assert taken
        answer = refused[-1][0]
        assert (answer.status_code, answer.json()["code"]) == (503, "not_durable")
        assert int(answer.headers["retry-after"]) > 0
        assert httpx.get(collector.url + "/ready", trust_env=False).status_code == 503
        assert httpx.get(collector.url + "/health", trust_env=False).status_code == 200
        os.system(f"mount -o remount,size=64m {disk}")  # noqa: S605
        again = [batch for _, batch in refused]
        for batch in again:
            for _ in range(50):
                if collector.post("/v1/batch", {"batch": batch}).status_code == 200:
                    break
                time.sleep(0.1)
            else:
                raise AssertionError("it does not come back")
        assert collector.stop() == 0
        expected = {e["messageId"] for _, batch in taken for e in batch} | {e["messageId"] for b in again for e in b}
        segments = [orjson.loads(line) for s in sealed(disk / "log") for line in read_sealed(s).splitlines()]
        assert set(by_id(segments)) == expected
    finally:
        if collector:
            collector.stop()
        os.system(f"umount {disk}")  # noqa: S605


def test_a_read_only_folder_is_told_at_once(own_collector: Callable[..., Running], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m,ro tmpfs {disk} 2>/dev/null") != 0:  # noqa: S605
        pytest.skip("needs the right to mount a small file system")
    try:
        with pytest.raises(AssertionError, match="Read-only file system"):
            own_collector(CDP_COLLECTOR_DIR=str(disk / "log"))
    finally:
        os.system(f"umount {disk}")  # noqa: S605
    shutil.rmtree(disk, ignore_errors=True)
