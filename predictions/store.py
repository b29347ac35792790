"""Predictions in the warehouse: schema `predictions`, written by `score`, read by dbt (macro `prediction_tables`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from cdp.errors import RunError

T = TypeVar("T")

# One row: what a model says of one person (account). A model of a value has no probability of an outcome, but one of staying.
PREDICTION = {
    "entity_id": "varchar",
    "grain": "varchar",
    "model": "varchar",
    "version": "varchar",
    "as_of": "timestamp",
    "probability": "double",
    "expected_orders": "double",
    "expected_value": "double",
}
# One row: a feature that moved a prediction; position 1 moved it most; effect in log-odds.
PREDICTION_REASON = {
    "entity_id": "varchar",
    "grain": "varchar",
    "model": "varchar",
    "position": "bigint",
    "feature": "varchar",
    "feature_value": "varchar",
    "effect": "double",
}
TABLES = {"prediction": PREDICTION, "prediction_reason": PREDICTION_REASON}


def prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Make the tables when they are not there."""
    con.execute("create schema if not exists predictions")
    for table, columns in TABLES.items():
        listed = ", ".join(f"{c} {t}" for c, t in columns.items())
        con.execute(f"create table if not exists predictions.{table} ({listed})")


def replace(con: duckdb.DuckDBPyConnection, model: str, predictions: pa.Table, reasons: pa.Table) -> None:
    """Put a model's predictions in the place of its earlier ones, both tables in one transaction."""
    prepare(con)
    con.execute("begin transaction")
    try:
        for table, rows in (("prediction", predictions), ("prediction_reason", reasons)):
            con.execute(f"delete from predictions.{table} where model = $model", {"model": model})
            con.register("incoming", rows)
            con.execute(f"insert into predictions.{table} by name select * from incoming")
            con.unregister("incoming")
        con.execute("commit")
    except duckdb.Error:
        con.execute("rollback")
        raise


def forget_others(con: duckdb.DuckDBPyConnection, models: Sequence[str]) -> None:
    """Remove the predictions of models that are no longer declared."""
    prepare(con)
    for table in TABLES:
        con.execute(
            f"delete from predictions.{table} where not list_contains($models::varchar[], model)",
            {"models": list(models)},
        )


def prediction_rows(
    entity: pa.ChunkedArray, *, grain: str, model: str, version: str, as_of: str, probability: np.ndarray,
    orders: np.ndarray | None = None, value: np.ndarray | None = None,
) -> pa.Table:  # fmt: skip
    """Rows of `prediction`; numbers to six digits, so that the last bits of a machine do not look like news."""
    size = len(entity)

    def numbers(values: np.ndarray | None) -> pa.Array:
        return pa.nulls(size, pa.float64()) if values is None else pa.array(np.round(values, 6), pa.float64())

    from datetime import datetime

    return pa.table(
        {
            "entity_id": entity,
            "grain": pa.array([grain] * size, pa.string()),
            "model": pa.array([model] * size, pa.string()),
            "version": pa.array([version] * size, pa.string()),
            "as_of": pa.array([datetime.fromisoformat(as_of)] * size, pa.timestamp("us")),
            "probability": numbers(probability),
            "expected_orders": numbers(orders),
            "expected_value": numbers(value),
        }
    )


def read_from(model: str, read: Callable[[], T]) -> T:
    """What a model reads from the warehouse. Raises RunError, which names the model, when the warehouse has not been built."""
    try:
        return read()
    except duckdb.CatalogException as error:
        raise RunError(
            f"the warehouse lacks a table: {str(error).splitlines()[0][:200]}", where=model, fix="run `cdp run` first"
        ) from None
