"""The graph that Dagster is told: complete, without phantoms, documented, and every check in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cdp.settings import get_settings
from cdp.sources import active_sources, raw_table
from reverse_etl.catalog import resolve_all
from tests.conftest import BuiltWorld

FLOW = [
    "raw", "seeds", "staging", "conformed", "identity", "profiles", "models", "tags", "scores", "segments", "activation",
    "destinations", "delivery",
]  # fmt: skip


pytestmark = pytest.mark.timeout(1800)  # the shared world is built in the first test that asks for it


class Graph:
    """The definitions, resolved, with the manifest they were made from."""

    def __init__(self, built_world: BuiltWorld) -> None:
        from orchestration.definitions import build

        self.settings = built_world.site.settings
        self.defs = build(self.settings)
        self.repository = self.defs.get_repository_def()
        self.assets = self.repository.asset_graph
        self.manifest: dict[str, Any] = json.loads(self.settings.path("dbt", "manifest.json").read_text())


@pytest.fixture(scope="module")
def graph(built_world: BuiltWorld) -> Iterator[Graph]:
    """Loading dagster and the definitions costs seconds: once for this file, on the settings of the built world."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in built_world.site.env().items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        yield Graph(built_world)
    get_settings.cache_clear()


def test_no_asset_is_a_phantom(graph: Graph) -> None:
    """Dagster adds a stub for a dependency whose key nobody has: a typo would cut ingest from staging, in silence."""
    assert graph.assets.external_asset_keys == set()
    declared = {
        ("raw", raw_table(name, table))
        for name, document in active_sources(graph.settings).items()
        for table in document.value.tables
    }
    found = {tuple(key.path) for key in graph.assets.get_all_asset_keys() if key.path[0] == "raw"}
    assert found == declared
    without = [k.to_user_string() for k in graph.assets.get_all_asset_keys() if not self_sufficient(graph, k)]
    assert not without, f"neither landed, nor a seed, nor made from anything: {without}"


def self_sufficient(graph: Graph, key: Any) -> bool:
    """Whether an asset has inputs, or is of a kind that needs none (landed rows, seeds, lists made of declarations)."""
    if key.path[0] in ("raw", "seeds") or graph.assets.get(key).parent_keys:
        return True
    nodes = [n for n in graph.manifest["nodes"].values() if n["name"] == key.path[-1] and n["resource_type"] == "model"]
    return all("generated" in n["path"] or not n["depends_on"]["nodes"] for n in nodes)


def test_every_model_and_table_is_an_asset(graph: Graph) -> None:
    nodes = graph.manifest["nodes"].values()
    built = {
        (n["schema"], n["name"]) for n in nodes if n["resource_type"] in ("model", "seed") and n["config"]["enabled"]
    }
    found = {tuple(key.path) for key in graph.assets.get_all_asset_keys()}
    syncs = {
        ("destinations", path.stem) for path in (graph.settings.project_root / "reverse_etl" / "syncs").glob("*.yml")
    }
    assert syncs
    folder = graph.settings.dbt_dir / "scores" / "models"
    predictive = {("models", path.stem) for path in folder.glob("*.yml")} | {
        ("predictions", "prediction"),
        ("predictions", "prediction_reason"),
    }
    assert {key for key in found if key[0] != "raw"} == built | syncs | predictive


def test_groups_follow_the_flow(graph: Graph) -> None:
    """The UI sorts groups by name; an asset's inputs stand in its own group or before it."""
    groups = {node.key: node.group_name for node in map(graph.assets.get, graph.assets.get_all_asset_keys())}
    assert [name.split("_", 1)[1] for name in sorted(set(groups.values()))] == FLOW
    backwards = [
        f"{parent.to_user_string()} -> {key.to_user_string()}"
        for key, group in groups.items()
        for parent in graph.assets.get(key).parent_keys
        if groups[parent] > group
    ]
    assert not backwards, "\n".join(sorted(backwards))


def test_every_asset_says_whose_it_is_what_it_is_and_of_what_kind(graph: Graph) -> None:
    lacking = []
    for key in graph.assets.get_all_asset_keys():
        node = graph.assets.get(key)
        for what, value in (("owner", node.owners), ("description", node.description), ("kinds", node.kinds)):
            if not value:
                lacking.append(f"{key.to_user_string()}: {what}")
    assert not lacking, "\n".join(sorted(lacking))


def test_every_test_and_expectation_is_a_check(graph: Graph) -> None:
    from expectations.runner import suites

    found = {(tuple(c.asset_key.path), c.name) for c in graph.assets.asset_check_keys}
    assets = {tuple(key.path) for key in graph.assets.get_all_asset_keys()}
    expected = {(tuple(s.name.split(".", 1)), c.name) for s in suites(graph.settings) for c in s.checks}
    assert len(expected) > 100
    assert expected <= found
    assert all(((key), "loaded") in found for key in assets if key[0] == "raw")
    assert all(((key), "delivered") in found for key in assets if key[0] == "destinations")
    tests = {
        n["name"] for n in graph.manifest["nodes"].values() if n["resource_type"] == "test" and n["config"]["enabled"]
    }
    missing = tests - {name for _, name in found}
    assert not missing, f"{len(missing)} of {len(tests)} dbt tests are no check: {sorted(missing)[:10]}"


def test_what_leaves_is_under_a_blocking_check(graph: Graph) -> None:
    from orchestration.checks import blocking_keys

    guarded = {tuple(key.asset_key.path) for key in blocking_keys(graph.settings)}
    leaving = {tuple(key.path) for key in graph.assets.get_all_asset_keys() if key.path[0] == "activation"}
    assert leaving
    assert leaving <= guarded


def test_jobs_schedule_and_sensor(graph: Graph) -> None:
    jobs = {job.name for job in graph.repository.get_all_jobs() if not job.name.startswith("__")}
    syncs = {r.sync.name: r.sync.schedule for r in resolve_all(graph.settings)}
    own = {f"sync_{name}" for name in syncs}
    assert jobs == {"everything", "sync_only", "land_deliveries", "train_models"} | own
    assert {s.name: (s.job_name, s.cron_schedule) for s in graph.repository.schedule_defs} == {
        "hourly": ("everything", "5 * * * *"),
        "weekly_training": ("train_models", "35 2 * * 1"),
        **{f"sync_{name}": (f"sync_{name}", cron) for name, cron in syncs.items()},
    }
    assert {s.name for s in graph.repository.sensor_defs} == {"new_source_data", "land_held_back_deliveries"}
    all_day = graph.repository.get_job("everything").asset_layer.selected_asset_keys
    assert not [key for key in all_day if key.path[0] == "models"], "a run of everything learns nothing"
    delivered = graph.repository.get_job("sync_only").asset_layer.selected_asset_keys
    assert {key.path[0] for key in delivered} == {"destinations"}
    landed = graph.repository.get_job("land_deliveries").asset_layer.selected_asset_keys
    assert {tuple(key.path)[-1].split("__")[0] for key in landed} >= {"reverse_etl", "sync_run", "sync_delivery"}
    for name in syncs:
        own_keys = graph.repository.get_job(f"sync_{name}").asset_layer.selected_asset_keys
        assert {key.path[-1] for key in own_keys - landed} == {name}


def test_the_failure_sensor_lands_what_was_held_back(graph: Graph) -> None:
    """A run of everything that failed asks for the landing, unless it does that itself."""
    import dagster as dg

    sensor = next(s for s in graph.repository.sensor_defs if s.name == "land_held_back_deliveries")
    with dg.instance_for_test() as instance:
        for tags, expected in (({}, dg.RunRequest), ({"cdp/lands_itself": "true"}, dg.SkipReason)):
            run = instance.create_run_for_job(graph.repository.get_job("land_deliveries"), tags=tags)
            event = dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, run.job_name)
            context = dg.build_run_status_sensor_context(
                sensor_name=sensor.name, dagster_event=event, dagster_instance=instance, dagster_run=run
            ).for_run_failure()
            assert isinstance(sensor(context), expected)


def test_the_sensor_sees_new_files(graph: Graph) -> None:
    """Nothing is new after the run of everything; a file that appears is named."""
    import dagster as dg

    sensor = next(s for s in graph.repository.sensor_defs if s.name == "new_source_data")
    with dg.instance_for_test() as instance:

        def look() -> object:
            return sensor(dg.build_sensor_context(instance=instance, repository_def=graph.repository))

        quiet = look()
        assert isinstance(quiet, dg.SkipReason), quiet
        new = graph.settings.landing_path / "nps" / "answers-9999-12-31.jsonl"
        new.write_text('{"response_id": "r-new", "answered_at": "2026-01-02T00:00:00Z"}\n')
        try:
            asked = look()
        finally:
            new.unlink()
        assert isinstance(asked, dg.RunRequest), asked
        assert asked.tags["cdp/new_data"] == "nps"
