"""The durable log: records are numbered, written and synced in groups, and only then acknowledged.

While one group is being synced the next one gathers, so one fdatasync serves all requests that came meanwhile. Either a
group is on disk as a whole, or everything behind it is refused and the file is cut back: no record is acknowledged that a
power cut could take away, and numbers have no holes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, perf_counter

from filelock import FileLock, Timeout

from cdp.errors import BusyError, ConfigurationError
from ingest.collector.recovery import Counters, recover, remember, seal_all
from ingest.collector.seen import Seen
from ingest.collector.segments import DIGITS, Segment, framed, log_id, make_folder, noted_next, sync_file, sync_folder

# what stands before the sequence number of a record (nothing: an event), and what stands behind it, to the closing brace
Record = tuple[bytes, bytes]

RETRY_SECONDS = 1.0  # after a failed write the disk is tried again this late


class NotDurable(Exception):
    """The disk did not take the records; nothing of them is kept, the client may try again."""


class Full(Exception):
    """More is waiting for the disk than memory may hold."""


@dataclass
class _Group:
    """Records that are committed together. `first`: number of the first one."""

    first: int
    lines: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    size: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)
    failure: str | None = None


class Log:
    """One log in one folder. All methods but `open` and `close` belong to the event loop's thread."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = 64 * 1024**2,
        rotate_seconds: float = 10.0,
        queue_bytes: int = 64 * 1024**2,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.folder = folder
        self.counters = Counters()
        self.seen = Seen()
        self.log_id = ""
        self.failure: str | None = None
        self._segment_bytes, self._rotate_seconds, self._queue_bytes = segment_bytes, rotate_seconds, queue_bytes
        self._clock = clock
        self._lock = FileLock(folder / "collector.lock")
        self._writer = ThreadPoolExecutor(1, "collector-log")
        self._sealer = ThreadPoolExecutor(1, "collector-seal")
        self._pending: _Group | None = None
        self._writing: _Group | None = None
        self._rotating = False
        self._tried_at = 0.0
        # of the writer's thread
        self._descriptor = -1
        self._live: Segment | None = None
        self._durable = 0  # bytes of the live file that are synced
        self._records = 0  # of the live file
        self._opened_at = 0.0
        self._torn = False  # the live file may hold more than is durable

    # ---- opening and closing

    def open(self) -> None:
        """Recover what a crash left, and be ready. Raises BusyError, ConfigurationError."""
        try:
            make_folder(self.folder)
            make_folder(self.folder / "live")
            self._lock.acquire(timeout=0)
            self.log_id = log_id(self.folder) or secrets.token_hex(4)
            after = recover(self.folder, self._day, self.counters)
            remember(self.folder, self.seen)
            self._next = max(after, noted_next(self.folder))
            self._open_live()
        except Timeout:
            raise BusyError(
                "another collector writes this log",
                where=str(self.folder),
                fix="end it, or give this one a folder of its own with CDP_COLLECTOR_DIR",
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"the collector's log cannot be written: {error.strerror}",
                where=str(error.filename or self.folder),
                expected="a folder that this user may write, with room",
                fix="mend it, or set CDP_COLLECTOR_DIR",
            ) from None

    def close(self) -> None:
        """Seal what was written and let go of the folder. The loop has ended, or nothing is pending."""
        self._writer.submit(self._end_live).result()
        self._writer.shutdown()
        self._sealer.submit(seal_all, self.folder, self._day, self.counters, but_last=False).result()
        self._sealer.shutdown()
        self._lock.release()

    # ---- appending

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for the disk."""
        return sum(group.size for group in (self._pending, self._writing) if group)

    @property
    def next_sequence(self) -> int:
        """The number the next record gets."""
        return self._next

    async def append(self, records: list[Record], ids: list[str]) -> None:
        """Write records durably. Without records: wait until everything that was appended before is durable.

        `ids`: keys in `seen` that stand for them; forgotten again when the disk fails. Raises NotDurable, Full.
        """
        if not records:
            group = self._pending or self._writing
            if group:
                await group.done.wait()
                if group.failure:
                    raise NotDurable(group.failure)
            return
        if self.failure and monotonic() - self._tried_at < RETRY_SECONDS:
            self.seen.forget(ids)
            raise NotDurable(self.failure)
        size = sum(len(rest) for _, rest in records)
        if self.waiting_bytes + size > self._queue_bytes:
            self.seen.forget(ids)
            raise Full
        group = self._pending = self._pending or _Group(self._next)
        for head, rest in records:
            group.lines.append(framed(b'{%b"sequence":%d,%b' % (head, self._next, rest)))
            self._next += 1
        group.ids += ids
        group.size += size
        if not self._writing:
            self._start()
        await group.done.wait()
        if group.failure:
            raise NotDurable(group.failure)

    def _start(self) -> None:
        group = self._writing = self._pending
        self._pending = None
        if group:
            self._tried_at = monotonic()
            loop = asyncio.get_running_loop()
            work = self._writer.submit(self._commit, b"".join(group.lines), len(group.lines))
            work.add_done_callback(lambda done: loop.call_soon_threadsafe(self._committed, group, done.exception()))

    def _committed(self, group: _Group, error: BaseException | None) -> None:
        self._writing = None
        if error is None:
            self.failure = None
            self.counters.records += len(group.lines)
            self.counters.bytes += group.size
            self.counters.commits += 1
        else:
            self.failure = (isinstance(error, OSError) and error.strerror) or type(error).__name__
            self.counters.failed_commits += 1
            # what waits was numbered behind it: all of it is refused, and its numbers are given out again
            behind, self._pending = self._pending, None
            self._next = group.first
            for refused in (group, behind) if behind else (group,):
                refused.failure = self.failure
                self.counters.refused_records += len(refused.lines)
                self.seen.forget(refused.ids)
                refused.done.set()
        group.done.set()
        if self._pending:
            self._start()

    async def keep_rotating(self) -> None:
        """Close the live file when it is old, also when nothing comes any more. Runs until cancelled."""
        failed = 0
        while True:
            await asyncio.sleep(min(1.0, self._rotate_seconds / 4))
            await asyncio.wrap_future(self._writer.submit(self._rotate_when_due))
            if self.counters.failed_seals > failed:
                failed = self.counters.failed_seals
                self._sealer.submit(seal_all, self.folder, self._day, self.counters, but_last=True)

    # ---- in the writer's thread

    def _commit(self, blob: bytes, count: int) -> None:
        if self._torn or self._descriptor < 0:
            self._repair()
        self._torn = True
        view = memoryview(blob)
        while view:
            view = view[os.write(self._descriptor, view) :]
        started = perf_counter()
        os.fdatasync(self._descriptor)
        self.counters.last_sync_seconds = perf_counter() - started
        self._torn = False
        if not self._records:
            self._opened_at = monotonic()
        self._durable += len(blob)
        self._records += count
        self._rotate_when_due()

    def _repair(self) -> None:
        """Cut off what was not acknowledged; after a failed sync the file is closed, for its pages cannot be trusted."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._live and self._live.path.exists():
            os.truncate(self._live.path, self._durable)
            sync_file(self._live.path)
        self._switch()

    def _rotate_when_due(self) -> None:
        is_due = self._durable >= self._segment_bytes or monotonic() - self._opened_at >= self._rotate_seconds
        try:
            if self._torn:
                self._repair()
            elif self._records and is_due:
                self._switch()
        except OSError:
            self._torn = True  # tried again by the next commit, or in a second

    def _switch(self) -> None:
        """Go on in a new live file, and have the old one compressed."""
        old, records = self._live or Segment(self.folder, self._next), self._records
        if not records and self._live:
            old.path.unlink(missing_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._open_live_at(old.first + records)
        if records:
            self._sealer.submit(seal_all, self.folder, self._day, self.counters, but_last=True)

    def _end_live(self) -> None:
        if self._torn and self._live:
            with contextlib.suppress(OSError):
                os.truncate(self._live.path, self._durable)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._live:
            if not self._records:
                self._live.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._note(self._live.first + self._records)

    def _open_live(self) -> None:
        self._open_live_at(self._next)

    def _open_live_at(self, first: int) -> None:
        path = self.folder / "live" / f"{first:0{DIGITS}}.log"
        self._note(first)
        descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND, 0o640)
        try:
            sync_folder(path.parent)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self._descriptor, self._live, self._durable, self._records = descriptor, Segment(path, first), 0, 0
        self._torn = False
        self._opened_at = monotonic()

    def _day(self) -> str:
        return self._clock().strftime("%Y-%m-%d")

    def _note(self, first: int) -> None:
        beside = self.folder / "log.new"
        with beside.open("w", encoding="utf-8") as file:
            json.dump({"log_id": self.log_id, "next": first}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.folder / "log.json")
        sync_folder(self.folder)
