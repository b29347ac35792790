"""A copy of the project with a data folder of its own, driven by real `cdp` processes: what the tests of the whole work on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from cdp.settings import PROJECT_ROOT, Settings, get_settings
from tests import commands

COPIED = ("dbt_project", "ingest", "expectations", "reverse_etl", "orchestration")
NOT_COPIED = shutil.ignore_patterns("target", "generated", "logs", "__pycache__", "*.py", "dbt_packages")
# Made by the clock or by chance (dlt's load ids, run ids), or numbered with gaps after a kill.
UNCOMPARED = {"_dlt_load_id", "_cdp_sequence", "sequence", "first_sequence", "last_sequence"}
DERIVED = ("conformed", "identity", "profiles", "tags", "scores", "segments", "activation")


@dataclass(frozen=True)
class Site:
    """`root`: the copied project, in which declarations may be changed. `data`: its CDP_DATA_DIR."""

    root: Path
    data: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, **environment: str) -> Site:
        """A fresh copy of the project with an empty data folder."""
        root = folder / "project"
        for name in COPIED:
            shutil.copytree(PROJECT_ROOT / name, root / name, ignore=NOT_COPIED)
        shutil.copy(PROJECT_ROOT / "requirements.lock", root)
        shutil.copy(PROJECT_ROOT / "orchestration" / "dagster.yaml", root / "orchestration")
        return cls(root, folder / "data", environment)

    def twin(self, folder: Path, **environment: str) -> Site:
        """A copy of this site as it stands; its emulators are down, and know what this site's knew."""
        shutil.copytree(self.root, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(self.data, folder / "data", ignore=shutil.ignore_patterns("world.env", "server.*", "build_*"))
        return Site(folder / "project", folder / "data", {**self.environment, **environment})

    @property
    def settings(self) -> Settings:
        """The settings that the site's processes read."""
        return Settings(project_root=self.root, data_dir=self.data, _env_file=None)

    def env(self, **more: str) -> dict[str, str]:
        """The environment of the site's processes: nothing of this one's own CDP_ settings gets in."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CDP_", "DBT_", "DAGSTER_"))}
        ours = get_settings()
        return {
            **kept,
            "CDP_PROJECT_ROOT": str(self.root),
            "CDP_DATA_DIR": str(self.data),
            "CDP_SHARED_DATA": str(ours.absolute(ours.shared_data)),
            **self.environment,
            **more,
        }

    def start(self, *arguments: str, **env: str) -> commands.Begun:
        """Start `cdp` with the arguments."""
        return commands.Begun("cdp", arguments, self.root, self.env(**env))

    def cdp(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `cdp` to its end."""
        return commands.cdp(*arguments, folder=self.root, environment=self.env(**env))

    def ok(self, *arguments: str, **env: str) -> str:
        """Run `cdp`, which must end with 0; its standard output."""
        done = self.cdp(*arguments, **env)
        assert done.returncode == 0, (
            f"cdp {' '.join(arguments)}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
        return done.stdout

    def run(self, *arguments: str, expect: int = 0, **env: str) -> dict[str, Any]:
        """`cdp run --json`, which must end with the expected code; its summary."""
        done = self.cdp("run", "--json", *arguments, **env)
        told = f"cdp run: {done.returncode}, expected {expect}\n{done.stdout[-4000:]}{done.stderr[-3000:]}"
        assert done.returncode == expect, told
        return dict(json.loads(done.stdout))

    def dbt(self, *arguments: str, **env: str) -> None:
        """Run dbt on the site's project and warehouse, as somebody would by hand."""
        done = commands.dbt(
            "--no-use-colors", *arguments, folder=self.root / "dbt_project",
            environment=self.env(**{k: v for k, v in self.settings.dbt_environment().items() if k.startswith("DBT_")}, **env),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:]

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the warehouse."""
        with duckdb.connect(str(self.settings.warehouse_path), read_only=True) as con:
            con.execute("set TimeZone = 'UTC'")
            return con.execute(sql, list(values)).fetchall()

    def one(self, sql: str, *values: Any) -> Any:
        """The only value of a query."""
        ((value,),) = self.query(sql, *values)
        return value


def differences(
    one: Site, other: Site, schemas: Iterable[str] = DERIVED, *, ignore: set[str] = UNCOMPARED
) -> Mapping[str, str]:
    """Tables that hold other rows in one warehouse than in the other, with the number of rows only in each. Values are not
    told; every column is compared to the last bit but those named in `ignore`."""
    found: dict[str, str] = {}
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        for alias, site in (("a", one), ("b", other)):
            con.execute(f"attach '{site.settings.warehouse_path}' as {alias} (read_only)")
        columns: dict[str, dict[str, list[str]]] = {"a": {}, "b": {}}
        for database, table, column in con.execute(
            """
            select c.database_name, c.schema_name || '.' || c.table_name, c.column_name
            from duckdb_columns() as c
            inner join duckdb_tables() as t using (database_oid, schema_oid, table_oid)
            where list_contains(?, c.schema_name) and not starts_with(c.table_name, '_dlt')
            order by c.column_index
            """,
            [list(schemas)],
        ).fetchall():
            columns[database].setdefault(table, []).append(column)
        assert columns["a"], "nothing to compare"
        for table in sorted(columns["a"].keys() | columns["b"].keys()):
            if columns["a"].get(table) != columns["b"].get(table):
                found[table] = "other columns"
                continue
            listed = ", ".join(f'"{c}"::varchar' for c in columns["a"][table] if c not in ignore)
            only = [
                con.execute(
                    f"select count(*) from (select {listed} from {x}.{table} except all select {listed} from {y}.{table})"
                ).fetchall()[0][0]
                for x, y in (("a", "b"), ("b", "a"))
            ]
            if any(only):
                found[table] = f"{only[0]} rows only in the first, {only[1]} only in the second"
    return found
