"""What Dagster shows of a sync, and that nothing a sync does keeps the others' log from being landed."""

from __future__ import annotations

import dagster as dg
import pytest

from orchestration import sync_assets
from orchestration.resources import Warehouse
from orchestration.sync_metadata import metadata_of
from reverse_etl import catalog
from tests.reverse_etl.webhooks import Endpoint, endpoint

__all__ = ["endpoint"]


def test_counts_error_classes_and_a_plot(endpoint: Endpoint) -> None:
    settings = endpoint.project.settings
    endpoint.want({"a": 1, "b": (2, "bad"), "c": (3, "worse")})
    result = endpoint.run()
    told = metadata_of(catalog.resolve("rows", settings), result, None, settings)
    assert (told["created"], told["rejected"], told["ok"]) == (1, 2, False)
    assert [dict(record.data) for record in told["error_classes"].records] == [
        {
            "error_class": "invalid_value",
            "status": "rejected",
            "code": "invalid",
            "rows": 2,
            "to_do": "Correct the value in the model; the endpoint's message says which.",
        }
    ]
    assert told["runs"].md_str.startswith("![plot](data:image/png;base64,")
    dg.MaterializeResult(asset_key="rows", metadata=told)  # Dagster takes it


def test_a_sync_that_breaks_off_is_a_failed_check_and_no_failed_step(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed step would hold back the landing of the log; the error's text, which may quote a row, is not shown."""

    def broken(*_: object) -> None:
        raise KeyError("ada@example.com")

    settings = endpoint.project.settings
    monkeypatch.setattr(sync_assets, "run", broken)
    monkeypatch.setattr(Warehouse, "settings", property(lambda _: settings))
    monkeypatch.setattr(Warehouse, "as_of", property(lambda _: "2026-03-01T00:00:00"))
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    asset = next(a for a in sync_assets.sync_assets(settings) if a.key == sync_assets.sync_key("rows"))
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([asset], instance=instance, resources={"warehouse": Warehouse()})
    assert done.success
    (check,) = done.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    said = str(check.metadata["error"].value)
    assert "the sync broke off: KeyError" in said
    assert "ada@" not in said
