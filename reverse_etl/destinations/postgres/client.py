"""Postgres (psycopg): a batch is one statement over its rows as JSON, in one transaction.

Contract: postgresql.org/docs, "INSERT" (on conflict), "jsonb_to_recordset", "PostgreSQL Error Codes". The columns' types are
those of the table, so Postgres itself converts and checks; a batch it refuses is halved until the bad rows stand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import errors

from cdp.errors import ConfigurationError
from reverse_etl.catalog import MappedField
from reverse_etl.destination import Batch, BatchRejectedError, Outcome, Result, Row
from reverse_etl.destination_spec import DestinationSpec
from reverse_etl.destinations.postgres import statements
from reverse_etl.destinations.postgres.table import Table, read_table
from reverse_etl.pace import Pace, TryAgain

T = TypeVar("T")

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Nothing was changed, and a moment later it may work.
_LATER = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.TooManyConnections,
    errors.DiskFull,
    errors.ReadOnlySqlTransaction,
)
# What a refused connection says, which has no SQLSTATE on the client's side, and what to do.
_REFUSALS: dict[LiteralString, LiteralString] = {
    "password authentication failed": "correct CDP_POSTGRES__USER and CDP_POSTGRES__PASSWORD",
    "no password supplied": "set CDP_POSTGRES__PASSWORD",
    "no pg_hba.conf entry": "let the server's pg_hba.conf admit this user and address",
    "does not exist": "correct CDP_POSTGRES__DATABASE and CDP_POSTGRES__USER",
    "does not support SSL": "switch TLS on at the server, or set CDP_POSTGRES__SSLMODE=disable on a private network",
    "certificate": "set CDP_POSTGRES__SSLROOTCERT to the authority's certificate",
}


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> Postgres:
    """A client for the database `CDP_POSTGRES__DATABASE` at `CDP_POSTGRES__HOST`."""
    if connection["sslmode"] not in _SSL_MODES:
        raise ConfigurationError(
            f'CDP_POSTGRES__SSLMODE is "{connection["sslmode"]}"', where="postgres", expected=", ".join(_SSL_MODES)
        )
    if not connection["port"].isdigit():
        raise ConfigurationError(
            f'CDP_POSTGRES__PORT is "{connection["port"]}"', where="postgres", expected="a port number"
        )
    return Postgres(connection, pace, spec.timeout_seconds)


class Postgres:
    """See `reverse_etl.destination.Client`. Connects on first use, and again after a lost connection."""

    def __init__(self, connection: Mapping[str, str], pace: Pace, timeout: float) -> None:
        self._settings, self._pace, self._timeout = connection, pace, timeout
        self._con: psycopg.Connection[Any] | None = None
        self._table: Table | None = None

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """Read the table's columns, or make the table. Raises SchemaGoneError for a column that is not there."""
        self._table = self._run(lambda con: read_table(con, fields, options))

    def write(self, batch: Batch) -> Result:
        """Insert and update, as the mode says."""
        table = self._known(batch)
        build = {"update_only": statements.update, "create_only": statements.insert, "append": statements.insert}.get(
            batch.mode, statements.upsert
        )

        def step(con: psycopg.Connection[Any]) -> set[int]:
            touched: set[int] = set()
            # Rows that leave fields alone (`nulls: omit`) are written without them: one statement for each such form.
            for columns, rows in _forms(batch.rows):
                cursor = con.execute(build(table, columns), [_records(rows)])
                if batch.mode == "update_only":
                    touched |= {position for (position,) in cursor.fetchall()}
            return touched

        touched = self._run(step)
        if batch.mode != "update_only":
            return Result.all_succeeded()
        gone = Outcome("rejected", "the table has no row with this key", "not_found")
        return Result({row.key: gone for n, row in enumerate(batch.rows) if n not in touched}, Outcome("succeeded"))

    def delete(self, batch: Batch) -> Result:
        """Delete by key; what is not there is deleted already."""
        table = self._known(batch)
        records = _records(list(enumerate(batch.rows)))
        self._run(lambda con: con.execute(statements.delete(table), [records]).rowcount)
        return Result.all_succeeded()

    def read_back(self, batch: Batch) -> dict[str, Mapping[str, Any] | None]:
        """What stands in the table. A value that equals ours after Postgres has converted it is ours."""
        table = self._known(batch)
        names = sorted({name for row in batch.rows for name in row.payload})
        records = _records(list(enumerate(batch.rows)))
        found = self._run(lambda con: con.execute(statements.read(table, names), [records]).fetchall())
        held: dict[str, Mapping[str, Any] | None] = {row.key: None for row in batch.rows}
        for position, there, ours in found:
            row = batch.rows[position]
            held[row.key] = {
                name: row.payload.get(name) if there[name] == ours[name] else there[name] for name in row.payload
            }
        return held

    def close(self) -> None:
        """Hang up."""
        if self._con is not None:
            self._con.close()
            self._con = None

    def _known(self, batch: Batch) -> Table:
        if self._table is None:
            raise ValueError(f"{batch.sync} was not prepared")
        return self._table

    def _run(self, step: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Run a step in a transaction of its own; once more on a fresh connection when that was lost."""

        def attempt() -> T:
            con = self._open()
            try:
                with con.transaction():
                    return step(con)
            except _LATER as error:
                raise TryAgain(f"Postgres says {error.sqlstate} {type(error).__name__}") from None
            except errors.InsufficientPrivilege as error:
                raise ConfigurationError(
                    f"Postgres refuses: {error.diag.message_primary}",
                    where="postgres",
                    expected="a role that may select, insert, update and delete in the table",
                    fix="grant the right, or correct CDP_POSTGRES__USER",
                ) from None
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                # The commit may have been carried out before the connection was lost.
                self.close()
                raise TryAgain(f"the connection was lost ({type(error).__name__})", effect_unknown=True) from None
            except psycopg.DatabaseError as error:
                raise BatchRejectedError(_reason(error), error.sqlstate or "") from None

        return self._pace.call(attempt)

    def _open(self) -> psycopg.Connection[Any]:
        if self._con is not None and not self._con.closed:
            return self._con
        given, limit = self._settings, int(self._timeout * 1000)
        try:
            self._con = psycopg.connect(
                host=given["host"],
                port=int(given["port"]),
                dbname=given["database"],
                user=given["user"],
                password=given["password"] or None,
                sslmode=given["sslmode"],
                sslrootcert=given["sslrootcert"] or None,
                connect_timeout=min(int(self._timeout), 30),
                application_name="tributary",
                options=f"-c statement_timeout={limit} -c lock_timeout={limit // 2} -c timezone=UTC",
                autocommit=True,
            )
        except psycopg.OperationalError as error:
            for words, fix in _REFUSALS.items():
                if words in str(error):
                    raise ConfigurationError(
                        f"the server refuses the connection ({words})", where="postgres", fix=fix
                    ) from None
            raise TryAgain(f"no connection: {type(error).__name__}") from None
        return self._con


def _forms(rows: Sequence[Row]) -> list[tuple[tuple[str, ...], list[tuple[int, Row]]]]:
    """Rows with their positions, by the set of columns that they fill."""

    def form(numbered: tuple[int, Row]) -> tuple[str, ...]:
        return tuple(sorted(numbered[1].payload))

    return [(columns, list(same)) for columns, same in groupby(sorted(enumerate(rows), key=form), key=form)]


def _records(rows: Sequence[tuple[int, Row]]) -> str:
    """A JSON list of the rows as the plan made them, each with its position in the batch. No field begins with `_`."""
    return "[" + ",".join(f'{{"_n":{position},{row.payload_json.strip()[1:]}' for position, row in rows) + "]"


def _reason(error: psycopg.DatabaseError) -> str:
    # Postgres' details quote whole rows; its primary message at most a value, which the engine takes out.
    place = error.diag.column_name or error.diag.constraint_name
    return f"{error.diag.message_primary or type(error).__name__}{f' ({place})' if place else ''}"
