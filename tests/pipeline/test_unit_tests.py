"""The models' unit tests, which `cdp run` leaves out: they look at code, not at data."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import BuiltWorld


@pytest.mark.timeout(1800)
def test_models_compute_what_their_unit_tests_say(built_world: BuiltWorld, tmp_path: Path) -> None:
    built_world.site.twin(tmp_path).dbt(
        "test", "--select", "test_type:unit", "--warn-error-options", '{"error": ["NoNodesForSelectionCriteria"]}'
    )
