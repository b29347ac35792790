"""Opening the ledger: the right file, the right version, and one run of a sync at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import create_engine, event, inspect, select, text
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError, SQLAlchemyError

from cdp.errors import BusyError, ConfigurationError
from cdp.settings import Settings
from reverse_etl.ledger_tables import APPLICATION_ID, VERSION, meta, metadata


def open_ledger(settings: Settings) -> Engine:
    """The engine of the ledger's database, its tables made. Raises ConfigurationError when it is none of ours."""
    try:
        url = make_url(settings.ledger_database_url())
        engine = create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite")
    except (ArgumentError, ModuleNotFoundError) as error:
        raise ConfigurationError(
            f"the ledger's address cannot be used: {type(error).__name__}",
            where="CDP_LEDGER_URL",
            expected="an SQLAlchemy URL: postgresql+psycopg://user@host/database, or nothing for a SQLite file",
        ) from None
    where = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        settings.path().mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _configure_sqlite)
        # pysqlite begins transactions late and may not take the write lock at once; we say ourselves when they begin.
        event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as con:
            _check(con, where)
    except OperationalError as error:
        engine.dispose()
        raise ConfigurationError(
            f"the ledger cannot be opened: {str(error.orig).splitlines()[0]}",
            where=where,
            fix="check CDP_LEDGER_URL, the folder's rights and free space",
        ) from None
    except (DatabaseError, SQLAlchemyError) as error:
        engine.dispose()
        said = str(getattr(error, "orig", error)).splitlines()[0]
        raise damaged(where, said) from None
    except ConfigurationError:
        engine.dispose()
        raise
    return engine


def damaged(where: str, said: str) -> ConfigurationError:
    """The error of a ledger that cannot be trusted."""
    return ConfigurationError(
        f"the ledger is damaged: {said}",
        where=where,
        expected="the ledger as the last run left it",
        fix="put back its last backup; without one, move it away and run `cdp sync reset NAME --reason ...`: rows are sent"
        " again, and what left the source meanwhile stays at the destination",
    )


@contextmanager
def holding(what: str, engine: Engine, settings: Settings, *, wait: bool = False) -> Iterator[None]:
    """Hold a name for as long as the process lives: on this machine or, with Postgres, on any. Raises BusyError.

    `wait`: up to half a minute for what is held shortly; else a second holder is refused at once.
    """
    path = settings.path("locks", f"{what}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(path), timeout=30 if wait else 0)
        lock.acquire()
    except Timeout:
        raise BusyError(f"{what} is running already", where=str(path), fix="wait for that run to end") from None
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror or error}", where=str(path.parent), fix="check rights and free space"
        ) from None
    try:
        if engine.dialect.name != "postgresql":
            yield
            return
        with engine.connect() as con:
            # A session lock: Postgres lets go of it when the connection ends, however it ends.
            number = zlib.crc32(f"tributary {what}".encode())
            if wait:
                con.execute(text("select pg_advisory_lock(:number)"), {"number": number})
            elif not con.scalar(text("select pg_try_advisory_lock(:number)"), {"number": number}):
                raise BusyError(f"{what} is running already, on another machine", fix="wait for that run to end")
            con.commit()
            try:
                yield
            finally:
                con.execute(text("select pg_advisory_unlock(:number)"), {"number": number})
    finally:
        lock.release()


def _check(con: Connection, where: str) -> None:
    known = set(inspect(con).get_table_names())
    if not known:
        metadata.create_all(con)
        con.execute(
            meta.insert(), [{"name": "format", "value": "tributary sync ledger"}, {"name": "version", "value": VERSION}]
        )
        if con.dialect.name == "sqlite":
            con.exec_driver_sql(f"pragma application_id = {APPLICATION_ID}")
        return
    if "ledger_meta" not in known:
        if con.dialect.name == "postgresql" and not known & set(metadata.tables):
            # A schema shared with others: ours are added beside.
            metadata.create_all(con)
            con.execute(
                meta.insert(),
                [{"name": "format", "value": "tributary sync ledger"}, {"name": "version", "value": VERSION}],
            )
            return
        raise ConfigurationError(
            "the database is no ledger",
            where=where,
            expected="a ledger that Tributary made, or an empty database",
            fix="correct CDP_LEDGER_URL, or move the file away",
        )
    found = {row.name: row.value for row in con.execute(select(meta))}
    if found.get("version") != VERSION:
        raise ConfigurationError(
            f"the ledger has version {found.get('version', '(none)')}",
            where=where,
            expected=f"version {VERSION}",
            fix="use the release of Tributary that wrote it, or move it away: rows are then sent again; what that means in"
            " each mode stands in docs/activation.md, A ledger of another version",
        )
    missing = set(metadata.tables) - known
    if missing:
        raise damaged(where, f"the table {sorted(missing)[0]} is missing")


def _begin(con: Connection) -> None:
    con.exec_driver_sql("begin" if con.get_execution_options().get("reading") else "begin immediate")


def _configure_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    # WAL lets `cdp sync status` read while a run writes; FULL makes an intent durable before the send it stands for.
    for pragma in ("journal_mode = wal", "synchronous = full", "busy_timeout = 30000"):
        cursor.execute(f"pragma {pragma}")
    cursor.close()
