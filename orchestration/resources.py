"""Resources shared by a run's steps."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import dagster as dg
from dagster_dbt import DbtCliResource
from packaging import version

from cdp.settings import Settings, get_settings
from cdp.warehouse import publish, writer_lock
from orchestration import dbt_server

AS_OF_TAG = "cdp/as_of"
FULL_REFRESH_TAG = "cdp/full_refresh"
TARGETS_KEPT = 9


class Warehouse(dg.ConfigurableResource):
    """Makes a run the warehouse's only writer, from its first step to its last, and publishes the readers' copy at its end.

    Runs are executed in one process, so the lock is taken once a run; a second run (from another shell, too) waits.
    """

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Warehouse]:
        """Called by Dagster around the steps of a run."""
        settings = get_settings()
        run = context.run
        tags = dict(run.tags) if run else {}
        os.environ.update(settings.dbt_environment())
        if tags.get(AS_OF_TAG):
            os.environ["CDP_AS_OF"] = tags[AS_OF_TAG]
        with writer_lock(settings):
            _forget_old_targets(settings)
            yield self
            if settings.warehouse_path.exists():
                publish(settings)

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return get_settings()

    @property
    def as_of(self) -> str:
        """The run's as_of, ISO 8601 in UTC."""
        return os.environ["CDP_AS_OF"]


def _forget_old_targets(settings: Settings) -> None:
    """Each dbt call leaves a folder with its artifacts; those of the last runs are kept for a look."""
    folders = [p for p in settings.path("dbt").glob("build_*") if p.is_dir()]
    for folder in sorted(folders, key=lambda p: (p.stat().st_mtime_ns, p.name))[:-TARGETS_KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


class Dbt(DbtCliResource):
    """dbt's command line without what dagster-dbt does before each call: it asks the executable for its version, and parses
    all macros for an adapter with which to count rows. 3 s a call, and we need neither. A run's calls are answered by one
    process that has dbt and the project in memory."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Dbt]:
        """Called by Dagster around the steps of a run."""
        with dbt_server.running(get_settings()), super().yield_for_execution(context):
            yield self

    @property
    def _cli_version(self) -> version.Version:
        return version.parse(metadata.version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: object) -> None:
        """None is what dagster-dbt goes on with when there is no adapter (as with other dbt engines)."""


def dbt_resource(settings: Settings) -> DbtCliResource:
    """dbt on the project, with the executable of this environment."""
    return Dbt(
        project_dir=os.fspath(settings.dbt_dir),
        profiles_dir=os.fspath(settings.dbt_dir),
        dbt_executable=str(Path(sys.executable).with_name("cdp-dbt")),
        # its debug log costs a tenth of its time; what it says is in the step's output
        global_config_flags=["--no-use-colors", "--log-level-file", "info"],
    )
