"""Runs suites inside the warehouse. `suites` is cheap; `run_suites` imports Great Expectations, once per process."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any

import duckdb

from cdp.declarations import suggest
from cdp.errors import BusyError, DeclarationError
from cdp.settings import Settings
from cdp.warehouse import open_database
from expectations.kinds import UNEXPECTED_ROWS
from expectations.queries import compiled
from expectations.results import CheckResult, from_validation, reason, result
from expectations.suites import Check, Suite, suites

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation as GxExpectation

    from expectations.duckdb_source import DuckDBDatasource

__all__ = ["Check", "CheckResult", "Suite", "run_suites", "suites"]

# Counts only: with 0 examples Great Expectations does not even query for the values.
_RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0}
# Great Expectations keeps its project in a global of the process: one run at a time.
_ONE_RUN = threading.Lock()


def run_suites(names: list[str], settings: Settings, as_of: datetime | str) -> dict[str, list[CheckResult]]:
    """Run the suites `<schema>.<table>` on the warehouse; the results of each, in the order of `names` and of its file.

    `as_of` is the run's now (ISO 8601; UTC when it names no zone). The warehouse is opened read-only and closed before
    the call returns, so no writer may be at work, in this process or another. A check that cannot run, and every check
    of a table that is missing, is a failed result and not an exception. Each call reads the suites anew (0.5 s for
    33 of them): give it all the names at once.

    Raises DeclarationError for a name that is no (active) suite or an `as_of` that is no time, ConfigurationError when
    there is no warehouse yet, BusyError when it is held.
    """
    now = _moment(as_of)
    wanted = _wanted(names, settings)
    if not wanted:
        return {}
    with _ONE_RUN, _quiet(), _source(settings) as (source, connection):
        tables = _tables(connection)
        return {suite.name: _run(suite, source, now) if suite.name in tables else _missing(suite) for suite in wanted}


def _moment(as_of: datetime | str) -> datetime:
    if isinstance(as_of, datetime):
        return as_of
    try:
        return datetime.fromisoformat(as_of.strip())
    except ValueError:
        raise DeclarationError(
            f'"{as_of}" is no time', where="as_of", expected="ISO 8601, e.g. 2026-03-02T00:00:00Z", fix="set CDP_AS_OF"
        ) from None


def _wanted(names: list[str], settings: Settings) -> list[Suite]:
    declared = {suite.name: suite for suite in suites(settings)}
    for name in names:
        if name not in declared:
            raise DeclarationError(
                f'no suite "{name}"',
                where=str(settings.project_root / "expectations"),
                expected="the table of a suite, in raw of an active source, e.g. "
                + next(iter(declared), "profiles.person"),
                fix=suggest(name, list(declared)),
            )
    return [declared[name] for name in dict.fromkeys(names)]


def import_great_expectations() -> ModuleType:
    """Great Expectations, which takes 5 s to import, with what reads DuckDB; later calls cost nothing."""
    # Read on import; without it Great Expectations reports its use over the network.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    import expectations.duckdb_source  # noqa: F401

    return great_expectations


@contextmanager
def _source(settings: Settings) -> Iterator[tuple[DuckDBDatasource, duckdb.DuckDBPyConnection]]:
    great_expectations = import_great_expectations()
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    from expectations.duckdb_source import DuckDBDatasource

    try:
        connection = open_database(settings.warehouse_path, read_only=True, settings=settings)
    except duckdb.ConnectionException as error:
        raise BusyError(
            "this process holds the warehouse open for writing",
            where=str(settings.warehouse_path),
            fix="close it first",
        ) from error
    try:
        config = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            analytics_enabled=False,
            progress_bars={"globally": False},
        )
        context = great_expectations.get_context(mode="ephemeral", project_config=config)
        yield context.add_datasource(datasource=DuckDBDatasource.over("warehouse", connection)), connection
    finally:
        connection.close()


def _tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute("select table_schema || '.' || table_name from information_schema.tables order by 1")
    return {name for (name,) in rows.fetchall()}


def _missing(suite: Suite) -> list[CheckResult]:
    how = "load its source" if suite.schema == "raw" else "build its model"
    observed = f"the table {suite.name} is not in the warehouse; {how} first (`cdp run`)"
    return [result(suite, check, passed=False, observed=observed) for check in suite.checks]


def _run(suite: Suite, source: DuckDBDatasource, now: datetime) -> list[CheckResult]:
    import great_expectations

    results: dict[str, CheckResult] = {}
    expectations: list[GxExpectation] = []
    for check in suite.checks:
        try:
            expectations.append(_expectation(check, now))
        except Exception as error:
            # An argument of a wrong type. The text quotes the declaration, never a row: nothing has been read yet.
            observed = f"the check could not be made: {' '.join(str(error).split())}"
            results[check.name] = result(suite, check, passed=False, observed=observed)
    try:
        asset = source.add_table_asset(suite.name, table_name=suite.table, schema_name=suite.schema)
        batch = asset.add_batch_definition_whole_table("whole").get_batch()
        made = great_expectations.ExpectationSuite(name=suite.name, expectations=expectations)
        for outcome in batch.validate(made, result_format=_RESULT_FORMAT).results:
            check = next(c for c in suite.checks if c.name == outcome.expectation_config.meta["check"])
            found, errors = dict(outcome.result or {}), _exceptions(outcome.exception_info or {})
            results[check.name] = from_validation(suite, check, bool(outcome.success), found, errors)
    except Exception as error:
        # Whatever else goes wrong in Great Expectations fails this suite's checks, and the next suite still runs.
        observed = f"the suite could not run: {type(error).__name__}: {reason(str(error))}"
        results |= {
            c.name: result(suite, c, passed=False, observed=observed) for c in suite.checks if c.name not in results
        }
    unseen = "Great Expectations returned no result for it"
    return [results.get(c.name) or result(suite, c, passed=False, observed=unseen) for c in suite.checks]


def _expectation(check: Check, now: datetime) -> GxExpectation:
    import great_expectations.expectations as gx
    from great_expectations.expectations.registry import get_expectation_impl

    meta = {"check": check.name}
    if check.expectation == UNEXPECTED_ROWS:
        return gx.UnexpectedRowsExpectation(unexpected_rows_query=compiled(check.unexpected_rows or "", now), meta=meta)
    return get_expectation_impl(check.expectation)(**check.kwargs, meta=meta)


def _exceptions(info: dict[str, Any]) -> list[str]:
    """The texts of the exceptions of a result: one of its own, or one per metric that failed."""
    each = [info] if "raised_exception" in info else [v for v in info.values() if isinstance(v, dict)]
    return [str(e.get("exception_message")) for e in each if e.get("raised_exception", True)]


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines of Great Expectations: on an error it logs the exception, which may quote data."""
    logger = logging.getLogger("great_expectations")
    handlers, propagates = logger.handlers, logger.propagate
    # Some of its loggers have a level of their own, so the way out is closed rather than the level raised.
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagates
