"""Great Expectations on DuckDB: a SQL data source with one kept connection. Importing this takes 7 s.

Great Expectations 1.24 ships no DuckDB data source, and three things of its SQL one do not hold for DuckDB:

* It returns a connection to the pool before it has fetched. A DuckDB result lives on its connection, so the fetch then
  fails ("list index out of range"). It keeps one connection for the dialects in `_PERSISTED_CONNECTION_DIALECTS` only;
  here the subclass does so.
* It opens a transaction, and after one failed statement every later one fails with "Current transaction is aborted".
  Reading needs no transaction, so none is begun.
* It reads column names by SQLAlchemy's PostgreSQL inspector, whose catalogue queries DuckDB does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import duckdb
import sqlalchemy
from duckdb_engine import ConnectionWrapper
from great_expectations.compatibility import pydantic
from great_expectations.datasource.fluent import SQLDatasource
from great_expectations.execution_engine import SqlAlchemyExecutionEngine


class _Connection(ConnectionWrapper):
    """A DuckDB connection whose every statement stands alone."""

    def begin(self) -> None:
        """Nothing: see the module's docstring."""

    def commit(self) -> None:
        """Nothing to commit."""

    def rollback(self) -> None:
        """Nothing to roll back."""


class _Inspector:
    """The part of SQLAlchemy's inspector that Great Expectations uses, answered from DuckDB's own catalogue."""

    def __init__(self, engine: sqlalchemy.Engine, connection: sqlalchemy.Connection) -> None:
        self.dialect = engine.dialect
        self._connection = connection

    def get_columns(self, table_name: str, schema: str | None = None, **_: Any) -> list[dict[str, Any]]:
        """Name and type of each column, in the table's order; of views too."""
        query = sqlalchemy.text(
            "select column_name, data_type, is_nullable from duckdb_columns()"
            " where schema_name = :schema and table_name = :table order by column_index"
        )
        rows = self._connection.execute(query, {"schema": schema or "main", "table": str(table_name)}).fetchall()
        return [{"name": name, "type": type_, "nullable": nullable} for name, type_, nullable in rows]

    def get_pk_constraint(self, *_: Any, **__: Any) -> dict[str, Any]:
        """The warehouse declares no primary keys."""
        return {"constrained_columns": [], "name": None}


class DuckDBExecutionEngine(SqlAlchemyExecutionEngine):
    """Runs every query of Great Expectations on one connection, which its owner closes."""

    _connection: sqlalchemy.Connection | None
    _inspector: Any

    @contextmanager
    def get_connection(self) -> Iterator[sqlalchemy.Connection]:
        """The kept connection."""
        if self._connection is None:
            self._connection = self.engine.connect()
        yield self._connection

    def get_inspector(self) -> Any:
        """An inspector that DuckDB can answer."""
        if self._inspector is None:
            with self.get_connection() as connection:
                self._inspector = _Inspector(self.engine, connection)
        return self._inspector


class DuckDBDatasource(SQLDatasource):
    """A SQL data source over an open DuckDB connection, for an ephemeral context: none of it can be saved."""

    type: Literal["duckdb"] = "duckdb"
    _open: Any = pydantic.PrivateAttr(None)

    @classmethod
    def over(cls, name: str, connection: duckdb.DuckDBPyConnection) -> DuckDBDatasource:
        """The data source of a connection, which belongs to it from now on."""
        source = cls(name=name, connection_string="duckdb://")
        engine = sqlalchemy.create_engine(
            "duckdb://", creator=lambda: _Connection(connection), poolclass=sqlalchemy.pool.StaticPool
        )
        source._open = DuckDBExecutionEngine(engine=engine, create_temp_table=False)
        return source

    @property
    def execution_engine_type(self) -> Any:
        """The engine's class."""
        return DuckDBExecutionEngine

    def get_execution_engine(self) -> SqlAlchemyExecutionEngine:
        """The one engine of this source."""
        return self._open

    def get_engine(self) -> sqlalchemy.Engine:
        """SQLAlchemy's engine over the connection."""
        return self._open.engine

    def test_connection(self, test_assets: bool = True) -> None:
        """Nothing to test: the connection is open."""
