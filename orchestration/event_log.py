"""Dagster's event log in SQLite, with connections that stay open for the life of the process.

Dagster's own storage makes an engine and a connection for each event, and compiles each statement anew. A run of ours writes some
4,000 events, as every dbt test and expectation is a check: that took 41 % of the time of `cdp run` on the demo world.
Files and tables are Dagster's own, so that either class reads what the other wrote.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

# SQLite files kept open: the run under way, the index, and a few that the UI looks at.
KEPT_OPEN = 8


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """Named in dagster.yaml. Writes to `$DAGSTER_HOME/history/runs`, the folder that Dagster takes by default."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> Any:
        """Nothing to configure."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> PooledSqliteEventLogStorage:
        """Called by Dagster for the instance of DAGSTER_HOME."""
        return cls(str(Path(os.environ["DAGSTER_HOME"], "history", "runs")), inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """One transaction on a shard (a run's id, or `index`); calls from several threads wait for each other, as in Dagster's."""
        with self._db_lock:
            engine = self._engine(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        engine = self._engines.pop(shard, None)
        if engine is None or not Path(self.path_for_shard(shard)).exists():
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=StaticPool,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
            )
            event.listen(engine, "connect", _commit_without_waiting)
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        self._engines[shard] = engine  # the one used last stands last
        while len(self._engines) > KEPT_OPEN:
            self._engines.pop(next(iter(self._engines))).dispose()
        return engine

    @cached_property
    def supports_asset_checks(self) -> bool:
        """Dagster asks the file for its tables before each check; a file that has them keeps them."""
        return bool(super().supports_asset_checks)

    def dispose(self) -> None:
        """Close all files; called by Dagster when the instance is given up."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        super().dispose()


def _commit_without_waiting(connection: Any, _record: Any) -> None:
    """In WAL mode a killed process loses nothing; only power loss may take the last events of the log, never the file."""
    connection.execute("PRAGMA synchronous=NORMAL")
