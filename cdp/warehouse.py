"""The warehouse handle: one writer at a time, readers on a published copy."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cdp.errors import BusyError, ConfigurationError
from cdp.settings import Settings, get_settings

if TYPE_CHECKING:
    import duckdb


def open_database(path: Path, *, read_only: bool, settings: Settings | None = None) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file with the project's limits; UTC everywhere. Raises ConfigurationError or BusyError."""
    import duckdb

    settings = settings or get_settings()
    if read_only and not path.exists():
        raise ConfigurationError("the warehouse does not exist yet", where=str(path), fix="run `cdp run` first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        con = duckdb.connect(
            str(path),
            read_only=read_only,
            config={
                "threads": settings.threads,
                "memory_limit": settings.memory_limit,
                # DuckDB 2.0.0 loses rows of `left join (... where x is null) ... where key is null` with this optimizer
                "disabled_optimizers": "outer_join_simplification",
            },
        )
        con.execute("set TimeZone = 'UTC'")
        return con
    except OSError as error:
        raise ConfigurationError(
            f"cannot be opened: {error.strerror or error}", where=str(path), fix="check the folder's rights and space"
        ) from error
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise BusyError(
                "another process is writing to the warehouse",
                where=str(path),
                fix="wait for its run, or `cdp sql` on the published copy",
            ) from error
        raise ConfigurationError(
            f"cannot be opened: {str(error).splitlines()[0]}",
            where=str(path),
            fix="check the folder's rights and space",
        ) from error


@contextmanager
def writing(settings: Settings | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the warehouse that may write. Hold `writer_lock` around a run."""
    settings = settings or get_settings()
    con = open_database(settings.warehouse_path, read_only=False, settings=settings)
    try:
        yield con
    finally:
        con.close()


@contextmanager
def reading(settings: Settings | None = None, *, live: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection: to the published copy, or with `live` to the warehouse itself (no writer may run)."""
    settings = settings or get_settings()
    published = settings.published_path
    path = settings.warehouse_path if live or not published.exists() else published
    con = open_database(path, read_only=True, settings=settings)
    try:
        yield con
    finally:
        con.close()


@contextmanager
def writer_lock(settings: Settings | None = None, *, timeout: float | None = None) -> Iterator[None]:
    """Be the warehouse's only writer. A second run waits here; the lock dies with its process, so a kill frees it.

    Re-entrant within one process (several connections may be opened in turn). Raises BusyError after `timeout` seconds.
    """
    from filelock import FileLock, Timeout

    settings = settings or get_settings()
    path = settings.path("writer.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(path), timeout=settings.lock_timeout if timeout is None else timeout, is_singleton=True)
        lock.acquire()
    except Timeout:
        raise BusyError(
            "another run holds the warehouse", where=str(path), fix="wait for it to end, or raise CDP_LOCK_TIMEOUT"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror or error}", where=str(path.parent), fix="check rights and free space"
        ) from error
    try:
        _wait_for_file(settings, settings.lock_timeout if timeout is None else timeout)
        yield
    finally:
        lock.release()


def _wait_for_file(settings: Settings, timeout: float) -> None:
    """Wait until nobody else has the warehouse open: a dbt whose run was killed goes on to its own end."""
    if not settings.warehouse_path.exists():
        return
    deadline = time.monotonic() + timeout
    while True:
        try:
            open_database(settings.warehouse_path, read_only=False, settings=settings).close()
            return
        except BusyError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.5)


def publish(settings: Settings | None = None) -> int:
    """Copy the warehouse beside itself and swap it in whole; returns the bytes. No connection may be open.

    A reader that has the old copy open keeps it; the next one gets the new. `cp --reflink` shares blocks where the
    file system can.
    """
    settings = settings or get_settings()
    target = settings.published_path
    beside = target.with_suffix(".new")
    with writing(settings) as con:
        con.execute("checkpoint")
    copy = shutil.which("cp")
    if copy:
        subprocess.run([copy, "--reflink=auto", str(settings.warehouse_path), str(beside)], check=True)
    else:
        shutil.copyfile(settings.warehouse_path, beside)
    beside.replace(target)
    return target.stat().st_size
