"""dbt in this process, kept warm: parsed once, then only the models of a micro-batch.

A `dbt build` in a process of its own takes 6 s to start and parse before its first model; here it takes 0.9 s. The price:
dbt's connection has to be closed by hand after each call, as dbt-duckdb keeps one per process (`keep_open`), and the
warehouse has one writer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cdp.errors import DeclarationError, RunError
from cdp.settings import Settings
from orchestration.manifest import digest_of


@dataclass(frozen=True)
class Built:
    """Outcome of each model by name: `success`, `error` or `skipped`; what was wrong; the slowest models' seconds."""

    status: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class WarmDbt:
    """Builds models as often as asked; parses again when a declaration or model has changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._digest = ""
        self._manifest: Any = None

    def refresh(self) -> bool:
        """Parse when something that decides the models has changed; whether it had. Raises DeclarationError."""
        digest = digest_of(self._settings)
        if digest == self._digest:
            return False
        done = self._invoke("parse", [])
        if not done.success:
            raise DeclarationError(str(done.exception or "see logs/live/dbt.log")[:4000], where="dbt parse")
        self._manifest = done.result
        self._manifest.build_parent_and_child_maps()
        self._digest = digest_of(self._settings)  # parsing writes what the declarations compile to
        return True

    def between(self, tables: Iterable[str], models: Iterable[str], *, views: bool) -> set[str]:
        """Names of the models that lie between raw tables and models, both ends included; without `views` only tables."""
        down = self._reached([self._source_id(t) for t in tables], self._manifest.child_map)
        up = self._reached([self._model_id(m) for m in models], self._manifest.parent_map)
        nodes = [self._manifest.nodes[n] for n in down & up if n.startswith("model.")]
        return {node.name for node in nodes if views or node.config.materialized != "view"}

    def behind(self, schema: str, name: str) -> set[str]:
        """Names of the models that depend on a raw table or a model, itself included."""
        start = self._source_id(name) if schema == "raw" else self._model_id(name)
        found = self._reached([start], self._manifest.child_map)
        return {n.rsplit(".", 1)[-1] for n in found if n.startswith("model.")}

    def build(self, models: set[str], as_of: str) -> Built:
        """Run models; what depends on one that fails is skipped. Raises RunError when dbt ended before it built anything."""
        if not models:
            return Built()
        os.environ["CDP_AS_OF"] = as_of
        done = self._invoke("run", ["--select", *sorted(models)])
        if done.result is None:
            raise RunError(f"dbt ended before it built anything: {done.exception}"[:1000], where="dbt run")
        results = [r for r in done.result.results if r.node.resource_type == "model"]
        return Built(
            {r.node.name: str(r.status) for r in results},
            {r.node.name: " ".join(str(r.message or "").split())[:400] for r in results if str(r.status) == "error"},
            {r.node.name: round(r.execution_time, 2) for r in results},
        )

    def _invoke(self, command: str, arguments: list[str]) -> Any:
        from dbt.cli.main import dbtRunner

        folder = str(self._settings.dbt_dir)
        general = [
            "--no-use-colors",
            "--log-level",
            "none",
            "--log-level-file",
            "info",
            "--no-send-anonymous-usage-stats",
        ]
        places = ["--project-dir", folder, "--profiles-dir", folder]
        # files of its own: a `cdp run` may parse at the same time
        places += ["--target-path", str(self._settings.path("dbt", "live"))]
        places += ["--log-path", str(self._settings.path("logs", "live"))]
        writes = [] if command == "parse" else ["--no-write-json"]
        try:
            return dbtRunner(manifest=self._manifest if command == "run" else None).invoke(
                [*general, *writes, command, *places, *arguments]
            )
        finally:
            _let_go()

    def _source_id(self, table: str) -> str:
        return next(s for s, node in self._manifest.sources.items() if node.schema == "raw" and node.name == table)

    def _model_id(self, name: str) -> str:
        return next(n for n, node in self._manifest.nodes.items() if n.startswith("model.") and node.name == name)

    @staticmethod
    def _reached(starts: list[str], edges: dict[str, list[str]]) -> set[str]:
        found, todo = set(starts), list(starts)
        while todo:
            fresh = [
                n for n in edges.get(todo.pop(), []) if n not in found and not n.startswith(("test.", "unit_test."))
            ]
            found.update(fresh)
            todo += fresh
        return found


def _let_go() -> None:
    """Close dbt's connection, so that others of this process may open the warehouse."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    environment = DuckDBConnectionManager._ENV
    if environment is not None:
        environment.close()
        DuckDBConnectionManager._ENV = None
