"""What several tests of matching start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.identity.matching_files import SMALL


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.yml"
    path.write_text(SMALL, encoding="utf-8")
    return path
