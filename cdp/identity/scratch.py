"""A dbt project of its own with the engine's models, on a scratch warehouse: what `cdp identity resolve` and `preview` build with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from cdp.errors import RunError
from cdp.identity.rules import Rules
from cdp.settings import Settings

# The engine in the order in which dbt builds it. Models that only look at persons are not needed on a file.
ENGINE = (
    "int_identity__type_numbered", "int_identity__override_keyed", "identity_reopened", "observation_reopened", "int_identity__fan_out", "identifier",
    "record_identifier", "identity_edge", "identity_component", "identity_replay", "identity_refusal", "identity_person", "person_identifier",
    "record_person", "identity_rule_applied", "identity_processed",
)  # fmt: skip
SEEDS = ("identifier_types", "blocked_identifiers", "identity_overrides")

MEMORY = Path(":memory:")
"""In place of a warehouse's file: tables end with dbt's process, and go to temporary files where they outgrow the memory limit."""
NO_MATCHES = """-- No matching model: no pairs.
select null::bigint as left_key, null::bigint as right_key, null::varchar as model, null::double as match_weight where false
"""


def make_project(folder: Path, settings: Settings, rules: Rules, patterns: str, models: dict[str, str]) -> None:
    """Write the project: the engine's models and macros as they stand in the repository, the given rules as seeds.

    `patterns`: the macros that hold blocked values; `models`: further models by their path, conformed/identifier_observation at least.
    """
    dbt = settings.dbt_dir
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("models/identity", "models/conformed", "macros/generated", "seeds/identity"):
        (folder / name).mkdir(parents=True)
    for part in ("engine", "identity"):
        shutil.copytree(dbt / "macros" / part, folder / "macros" / part)
    for name in ("as_of.sql", "schema.sql"):
        shutil.copy(dbt / "macros" / name, folder / "macros" / name)
    shutil.copy(dbt / "profiles.yml", folder)
    (folder / "macros" / "generated" / "patterns.sql").write_text(patterns, encoding="utf-8")
    for name in ENGINE:
        text = (dbt / "models" / "identity" / f"{name}.sql").read_text(encoding="utf-8")
        if name == "identity_rule_applied":  # here nothing logs, so nothing is waited for
            text = text.replace(", {{ ref('identity_event') }}", "")
        (folder / "models" / "identity" / f"{name}.sql").write_text(text, encoding="utf-8")
    for name, text in ({"conformed/identity_match": NO_MATCHES} | models).items():
        path = folder / "models" / f"{name}.sql"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    rules.write(folder / "seeds" / "identity")
    seeds = yaml.safe_load((dbt / "seeds" / "identity" / "_identity__seeds.yml").read_text(encoding="utf-8"))
    types = {s["name"]: {"config": s["config"]} for s in seeds["seeds"] if "config" in s}
    given = [{"name": name, **types.get(name, {})} for name in SEEDS]
    _yaml(folder / "seeds" / "identity" / "_seeds.yml", {"version": 2, "seeds": given})
    source = {"name": "landed", "schema": "landed", "tables": [{"name": "row"}, {"name": "matched_pair"}]}
    _yaml(folder / "models" / "conformed" / "_sources.yml", {"version": 2, "sources": [source]})
    main = yaml.safe_load((dbt / "dbt_project.yml").read_text(encoding="utf-8"))
    own = {"identity": {"+schema": "identity"}, "conformed": {"+schema": "conformed"}}
    kept = {key: main[key] for key in ("name", "version", "config-version", "profile", "flags", "vars", "seeds")}
    _yaml(folder / "dbt_project.yml", kept | {"models": {"tributary": {"+materialized": "table", **own}}})


def _yaml(path: Path, data: Any) -> None:
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")


def build(folder: Path, warehouse: Path, settings: Settings, variables: dict[str, Any]) -> dict[str, float]:
    """Run the project's seeds and models on the warehouse (or in MEMORY) with dbt; seconds by node, and the sum as `total`.

    A process of its own: dbt keeps the database open as long as its process lives. Raises RunError with dbt's words.
    """
    folder = folder.resolve()  # dbt runs in it
    environment = settings.dbt_environment() | {
        "CDP_WAREHOUSE_PATH": str(warehouse if warehouse == MEMORY else warehouse.resolve()),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "CDP_DBT_THREADS": "1",
    }
    arguments = [
        "--no-use-colors", "--quiet", "build", "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test",
        "--project-dir", str(folder), "--profiles-dir", str(folder), "--vars", yaml.safe_dump(variables),
    ]  # fmt: skip
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dbt")), *arguments],
        env={**os.environ, **environment}, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        results = json.loads((folder / "target" / "run_results.json").read_text(encoding="utf-8"))["results"]
    except OSError:
        raise RunError(
            f"dbt ended before it built anything: {(done.stdout + done.stderr)[-2000:]}", where=str(folder)
        ) from None
    wrong = [
        f"{r['unique_id'].split('.')[-1]}: {' '.join(str(r['message']).split())[:500]}"
        for r in results
        if r["status"] == "error"
    ]
    if wrong or done.returncode:
        raise RunError("could not be built: " + "; ".join(wrong), where="identity")
    seconds = {str(r["unique_id"]).split(".")[-1]: round(float(r["execution_time"]), 3) for r in results}
    return seconds | {"total": round(sum(seconds.values()), 3)}
