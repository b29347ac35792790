"""SQL databases through dlt's `sql_database`, incremental by a cursor column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cdp.errors import ConfigurationError
from cdp.settings import Settings, required_connection
from cdp.sources import Source, raw_table
from ingest.landing import Lander
from ingest.objects import cursor_guard, land_changed, land_objects, written_as

ROWS_A_BATCH = 20_000


def sql_resources(dlt: Any, source: Source, settings: Settings, lander: Lander) -> list[Any]:
    """One resource a table. The connection is CDP_<SOURCE>__URL, an SQLAlchemy URL.

    Rows come in the order of the cursor, then of the primary key. Those whose cursor equals the last one seen are told
    apart by their content, so a row that changed twice within a second lands twice and none lands doubled. A table
    without cursor is read whole, and what changed is landed. Raises ConfigurationError when the database or a table is
    not there.
    """
    from dlt.sources.sql_database import sql_table

    engine = _engine(source, required_connection(source.name, ["url"], settings)["url"])
    _check_tables(engine, source)

    def land(batch: list[Any], table_name: str) -> Iterator[Any]:
        lands = land_objects if source.tables[table_name].cursor else land_changed
        yield from lands(dlt, lander, table_name, batch, raw_table(source.name, table_name))

    found = []
    for name, table in source.tables.items():
        incremental = dlt.sources.incremental(table.cursor, on_cursor_value_missing="include") if table.cursor else None
        order = _Order(engine.dialect.name)
        reader = sql_table(
            engine,
            table=table.sql_table,
            backend="sqlalchemy",
            chunk_size=ROWS_A_BATCH,
            incremental=incremental,
            reflection_level="minimal",
            table_adapter_callback=order.adapt,
            query_adapter_callback=order.sort,
        ).with_name(f"read_{name}")
        if table.cursor:
            declared = table.columns.get(table.cursor)
            is_right, kind = written_as(declared.formats if declared else [])
            reader.add_map(cursor_guard(table.cursor, is_right, kind, may_be_missing=False))
        landing = dlt.transformer(land, name=raw_table(source.name, name), write_disposition="append")
        found.append(reader | landing(name))
    return found


class _Order:
    """Gives a table's rows a total order, and the values of SQLite as they are stored."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._key: list[str] = []

    def adapt(self, table: Any) -> Any:
        """Take the primary key away: going by it, dlt would not see that a row changed within one cursor value.

        SQLite stores what it is given, whatever the column's type: SQLAlchemy would stop at the first value that is none.
        """
        from sqlalchemy import PrimaryKeyConstraint
        from sqlalchemy.types import NullType

        self._key = [column.name for column in table.primary_key.columns]
        table.primary_key = PrimaryKeyConstraint()
        for column in table.columns:
            column.primary_key = False
            if self._dialect == "sqlite":
                column.type = NullType()
        return table

    def sort(self, query: Any, table: Any, incremental: Any, engine: Any) -> Any:
        """Order by the cursor, then by the key (of a view: by all columns that can be compared)."""
        cursor = [table.c[incremental.get_cursor_column_name()]] if incremental else []
        key = [table.c[name] for name in self._key] or list(table.c)
        return query.order_by(*cursor, *key)


def _engine(source: Source, url: str) -> Any:
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    where = f"CDP_{source.name.upper()}__URL"
    try:
        address = make_url(url)
        is_file = address.get_backend_name() == "sqlite" and address.database not in (None, "", ":memory:")
        # SQLite would make an empty database where there is none
        if is_file and not str(address.database).startswith("file:") and not Path(str(address.database)).is_file():
            raise ConfigurationError(
                "there is no such database file",
                where=where,
                expected="the path of an SQLite file",
                fix="correct the path",
            )
        return create_engine(address)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        # the message of the error may hold the URL, and with it a password
        raise ConfigurationError(
            f"cannot be used as a database's address: {type(error).__name__}",
            where=where,
            expected="an SQLAlchemy URL whose driver is installed, e.g. sqlite:////path/shop.sqlite",
            fix="correct the URL, or install the driver",
        ) from None


def _check_tables(engine: Any, source: Source) -> None:
    from sqlalchemy import inspect
    from sqlalchemy.exc import SQLAlchemyError

    try:
        inspector = inspect(engine)
        present = set(inspector.get_table_names()) | set(inspector.get_view_names())
        columns = {
            name: {column["name"] for column in inspector.get_columns(table.sql_table)}
            for name, table in source.tables.items()
            if table.sql_table in present
        }
    except SQLAlchemyError as error:
        raise ConfigurationError(
            f"the database cannot be reached: {type(error).__name__}",
            where=f"CDP_{source.name.upper()}__URL",
            expected="an SQLAlchemy URL of a reachable database, e.g. sqlite:////path/shop.sqlite",
            fix="correct the URL, or start the database",
        ) from None
    for name, table in source.tables.items():
        where = f"ingest/sources/{source.name}.yml: tables.{name}"
        if table.sql_table not in present:
            raise ConfigurationError(
                f'the database has no table "{table.sql_table}"',
                where=f"{where}.sql_table",
                expected="one of " + ", ".join(sorted(present)),
                fix="correct sql_table",
            )
        if table.cursor and table.cursor not in columns[name]:
            raise ConfigurationError(
                f'"{table.sql_table}" has no column "{table.cursor}"',
                where=f"{where}.cursor",
                expected="one of " + ", ".join(sorted(columns[name])),
                fix="correct cursor",
            )
