"""SQL databases through dlt's `sql_database`, read in Arrow batches, incremental by cursor column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from cdp.errors import ConfigurationError
from cdp.settings import Settings, required_connection
from cdp.sources import Source, raw_table
from ingest.files import landed_type
from ingest.landing import Lander
from ingest.typing import quoted


def sql_resources(dlt: Any, source: Source, settings: Settings, lander: Lander) -> list[Any]:
    """One resource a table. Rows whose cursor equals the last one seen are told apart by their content, so none is lost or doubled.

    The connection is CDP_<SOURCE>__URL, an SQLAlchemy URL. Raises ConfigurationError when it cannot be reached.
    """
    from dlt.sources.sql_database import sql_table
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.exc import SQLAlchemyError

    engine = create_engine(required_connection(source.name, ["url"], settings)["url"])
    try:
        present = set(inspect(engine).get_table_names()) | set(inspect(engine).get_view_names())
    except SQLAlchemyError as error:
        raise ConfigurationError(
            f"the database cannot be reached: {type(error).__name__}",
            where=f"CDP_{source.name.upper()}__URL",
            expected="an SQLAlchemy URL of a reachable database, e.g. sqlite:////path/shop.sqlite",
            fix="correct the URL, or start the database",
        ) from None

    def land(batch: pa.Table, table_name: str) -> Iterator[Any]:
        relation, fields = arrow_relation(lander, batch, raw_table(source.name, table_name))
        yield from lander.land(dlt, table_name, relation, fields, [])

    found = []
    for name, table in source.tables.items():
        if table.sql_table not in present:
            raise ConfigurationError(
                f'the database has no table "{table.sql_table}"',
                where=f"ingest/sources/{source.name}.yml: tables.{name}.sql_table",
                expected="one of " + ", ".join(sorted(present)),
                fix="correct sql_table",
            )
        reader = sql_table(
            engine,
            table=table.sql_table,
            backend="pyarrow",
            chunk_size=50_000,
            incremental=dlt.sources.incremental(table.cursor, row_order="asc") if table.cursor else None,
            reflection_level="minimal",
        ).with_name(f"read_{name}")
        found.append(
            reader | dlt.transformer(land, name=raw_table(source.name, name), write_disposition="append")(name)
        )
    return found


def arrow_relation(lander: Lander, batch: pa.Table, origin: str) -> tuple[str, dict[str, str]]:
    """An Arrow table as a relation for `Lander.land`."""
    lander.con.register("incoming_arrow", batch)
    described = lander.con.execute("describe incoming_arrow").fetchall()
    fields = {column: landed_type(kind) for column, kind, *_ in described}
    columns = "".join(f", {quoted(c)}::{fields[c]} as {quoted(c)}" for c in fields)
    lander.con.execute(
        "create or replace temp table arrow_rows as "
        "select row_number() over () as _row, $origin as _origin, row_number() over () as _position, "
        f"to_json(incoming_arrow)::varchar as _original{columns} from incoming_arrow",
        {"origin": origin},
    )
    lander.con.unregister("incoming_arrow")
    return "arrow_rows", fields
