"""dbt for micro-batches: the server that a run has, too (`orchestration.dbt_server`), kept as long as the project stays the same.

What a batch builds is found in the manifest: the tables between what the collector landed and what the due syncs are made of.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdp.errors import DeclarationError, RunError
from cdp.settings import Settings
from orchestration import dbt_server
from orchestration.manifest import digest_of, is_current, manifest_path


@dataclass(frozen=True)
class Built:
    """Outcome of each model by name (`success`, `error`, `skipped`), and what was wrong."""

    status: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


class WarmDbt:
    """Builds models as often as asked; reads the project again when a declaration or model has changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._digest = ""
        self._nodes: dict[str, dict[str, str]] = {}
        self._children: dict[str, list[str]] = {}
        self._parents: dict[str, list[str]] = {}

    def refresh(self) -> bool:
        """Read the project when it has changed since the last call; whether it had. Hold `writer_lock`. Raises DeclarationError."""
        if digest_of(self._settings) == self._digest:
            return False
        self.close()
        current = is_current(self._settings)
        dbt_server.start(self._settings, write=not current)
        manifest = json.loads(manifest_path(self._settings).read_bytes())
        server = dbt_server.current()
        if server and server.parsed()[0]:
            raise DeclarationError(server.parsed()[1][:4000], where="dbt parse")
        self.read(manifest)
        self._digest = digest_of(self._settings)  # parsing writes what the declarations compile to
        return True

    def read(self, manifest: dict[str, Any]) -> None:
        """Know the models and what they are made of from dbt's manifest."""
        self._nodes = {
            key: {"name": node["name"], "materialized": node["config"]["materialized"]}
            for key, node in manifest["nodes"].items()
            if key.startswith("model.")
        } | {key: {"name": node["name"], "materialized": ""} for key, node in manifest["sources"].items()}
        self._children, self._parents = manifest["child_map"], manifest["parent_map"]

    def close(self) -> None:
        """End the server."""
        dbt_server.close()
        self._digest = ""

    def between(self, tables: Iterable[str], models: Iterable[str], *, views: bool) -> set[str]:
        """Names of the models that lie between raw tables and models, these included; without `views` only tables."""
        down = self._reached([self._key("source.", t) for t in tables], self._children)
        up = self._reached([self._key("model.", m) for m in models], self._parents)
        nodes = [self._nodes[key] for key in down & up if key.startswith("model.")]
        return {node["name"] for node in nodes if views or node["materialized"] != "view"}

    def behind(self, schema: str, name: str) -> set[str]:
        """Names of the models that depend on a raw table or a model, itself included; none where it is not part of the project."""
        kind = "source." if schema == "raw" else "model."
        if not any(k.startswith(kind) and node["name"] == name for k, node in self._nodes.items()):
            return set()
        found = self._reached([self._key(kind, name)], self._children)
        return {self._nodes[key]["name"] for key in found if key.startswith("model.")}

    def build(self, models: set[str], as_of: str, landed: Iterable[str] = ()) -> Built:
        """Run models; what depends on one that fails is skipped. Of what sources landed only that of `landed` is looked at; of
        all without any. Raises RunError when dbt ended before it built anything."""
        if not models:
            return Built()
        target = self._settings.path("dbt", "live")
        results = target / "run_results.json"
        results.unlink(missing_ok=True)
        settings_of_dbt = self._settings.dbt_environment() | {"CDP_AS_OF": as_of, "DBT_TARGET_PATH": str(target)}
        settings_of_dbt["CDP_LANDED_SOURCES"] = ",".join(landed)
        done = subprocess.run(
            [str(Path(sys.executable).with_name("cdp-dbt")), *_GENERAL, "run", *_PLACES, "--select", *sorted(models)],
            cwd=self._settings.dbt_dir,
            env={**os.environ, **settings_of_dbt},
            capture_output=True,
            text=True,
            check=False,
        )
        if not results.exists():
            last = " ".join((done.stdout + done.stderr).split())[-1000:]
            raise RunError(f"dbt ended before it built anything: {last}", where="dbt run", fix="run `cdp run`")
        found = [r for r in json.loads(results.read_bytes())["results"] if r["unique_id"].startswith("model.")]
        status = {r["unique_id"].rsplit(".", 1)[1]: str(r["status"]) for r in found}
        messages = {r["unique_id"].rsplit(".", 1)[1]: " ".join(str(r["message"] or "").split())[:400] for r in found}
        return Built(status, {name: messages[name] for name, state in status.items() if state == "error"})

    def _key(self, kind: str, name: str) -> str:
        return next(k for k, node in self._nodes.items() if k.startswith(kind) and node["name"] == name)

    def _reached(self, starts: list[str], edges: dict[str, list[str]]) -> set[str]:
        found, todo = set(starts), list(starts)
        while todo:
            fresh = [key for key in edges.get(todo.pop(), []) if key in self._nodes and key not in found]
            found.update(fresh)
            todo += fresh
        return found


_GENERAL = ["--no-use-colors", "--log-level-file", "none"]
_PLACES = ["--project-dir", ".", "--profiles-dir", "."]
