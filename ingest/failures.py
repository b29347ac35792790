"""Says why a load failed: never with data, tokens or addresses' parameters in it, which errors of libraries quote freely."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

from cdp.errors import CdpError, ConfigurationError, RunError
from cdp.settings import Settings
from cdp.sources import Source

_ROOT = Path(__file__).resolve().parent.parent
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR}
# The loader hands errors of the database on as text only.
_DISK_TEXTS = ("no space left", "disk quota", "file too large", "could not write", "disk is full")
_RIGHTS_TEXTS = ("read-only file system", "permission denied", "not a directory")


def explained(error: BaseException, source: Source, settings: Settings) -> CdpError:
    """The error that a person reads, for whatever was raised while `source` was loaded."""
    chain = _chain(error)
    where = f"ingest/sources/{source.name}.yml"
    for known in (_own, _http, _database, _machine, _warehouse):
        found = known(chain, source, settings, where)
        if found is not None:
            return found
    return RunError(
        f"the source could not be loaded: {type(chain[-1]).__name__} at {_place(chain[-1])}",
        where=where,
        fix="nothing of this attempt was kept; mend the cause and run again, it goes on where it was",
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what caused it, outermost first."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and inner not in chain:
        chain.append(inner)
    return chain


def _own(chain: list[BaseException], source: Source, settings: Settings, where: str) -> CdpError | None:
    return next((e for e in reversed(chain) if isinstance(e, CdpError)), None)


def _http(chain: list[BaseException], source: Source, settings: Settings, where: str) -> CdpError | None:
    from requests import HTTPError, JSONDecodeError, RequestException

    error = next((e for e in chain if isinstance(e, RequestException)), None)
    if error is None:
        return None
    request = getattr(error, "request", None)
    path = urlsplit(str(request.url)).path if request is not None else ""
    keys = ", ".join(f"CDP_{source.name.upper()}__{key.upper()}" for key in source.connection)
    if isinstance(error, HTTPError) and error.response is not None:
        status = error.response.status_code
        if status in (401, 403):
            return ConfigurationError(
                f"the API refused the credentials: {status} for {path}",
                where=where,
                expected="credentials that may read this",
                fix=f"check {keys or 'the client of the source'}",
            )
        again = (
            "the API failed eight times in a row; run again later" if status in (408, 425, 429) or status >= 500 else ""
        )
        return RunError(f"the API answered {status} for {path}", where=where, fix=again or "check endpoint and params")
    if isinstance(error, JSONDecodeError):
        return RunError(f"the answer of {path or 'the API'} is no JSON", where=where, fix="check base_url and path")
    return RunError(
        f"the API could not be reached: {type(error).__name__}{f' for {path}' if path else ''}",
        where=where,
        fix=f"check {keys or 'base_url'} and that the API runs; the next run goes on where this one was",
    )


def _database(chain: list[BaseException], source: Source, settings: Settings, where: str) -> CdpError | None:
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    error = next((e for e in chain if isinstance(e, SQLAlchemyError)), None)
    if error is None:
        return None
    kind = type(error.orig).__name__ if isinstance(error, DBAPIError) and error.orig else type(error).__name__
    return RunError(
        f"the database could not be read: {kind}",
        where=where,
        fix=f"check that the database of CDP_{source.name.upper()}__URL runs and may be read; then run again",
    )


def _machine(chain: list[BaseException], source: Source, settings: Settings, where: str) -> CdpError | None:
    texts = " ".join(str(e).lower() for e in chain)
    numbers = {e.errno for e in chain if isinstance(e, OSError)}
    if numbers & _DISK or any(text in texts for text in _DISK_TEXTS):
        return ConfigurationError(
            "there is no room left to write",
            where=str(settings.path()),
            expected="free space for the rows, twice: once while they are read, once in the warehouse",
            fix="free space or raise the quota, and run again; nothing was lost",
        )
    if numbers & _RIGHTS or any(text in texts for text in _RIGHTS_TEXTS):
        return ConfigurationError(
            "the folder cannot be written",
            where=str(settings.path()),
            expected="a folder that this user may write",
            fix="correct its rights (or CDP_DATA_DIR) and run again; nothing was lost",
        )
    return None


def _warehouse(chain: list[BaseException], source: Source, settings: Settings, where: str) -> CdpError | None:
    error = next((e for e in reversed(chain) if isinstance(e, duckdb.Error)), None)
    if error is None:
        return None
    if isinstance(error, duckdb.OutOfMemoryException):
        return ConfigurationError(
            "the memory does not suffice", where="CDP_MEMORY_LIMIT", fix="raise it, or lower CDP_THREADS"
        )
    return RunError(
        f"the rows could not be typed: {type(error).__name__} at {_place(error)}",
        where=where,
        fix="nothing of this attempt was kept; check columns, pattern and formats of the declaration",
    )


def _place(error: BaseException) -> str:
    """File and line that raised it, the innermost one of ours if there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if Path(f.filename).is_relative_to(_ROOT) and "site-packages" not in f.filename]
    chosen = ours or list(frames)
    return f"{Path(chosen[-1].filename).name}:{chosen[-1].lineno}" if chosen else "an unknown place"
