"""Asks `dying` for runs that die, for the tests of what must hold after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdp.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
_TOLD = ("CDP_WEBHOOK__BASE_URL", "CDP_WEBHOOK__SECRET")


class Zygote:
    """The process whose children die."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.reverse_etl.dying"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, settings: Settings, step: int = 0, after: float | None = None) -> dict[str, Any]:
        """One run that dies before a step (0: not at all), or so many seconds after its start."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {
            "root": str(settings.project_root),
            "ledger": settings.ledger_url.get_secret_value() if settings.ledger_url else None,
            "step": step,
            "after": after,
            "environment": {name: os.environ[name] for name in _TOLD},
        }
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """One process for all tests of a module."""
    started = Zygote()
    yield started
    started.close()
