"""Imported by the process that `tests.commands` forks from: dbt, the adapter, and what both make of their classes at first use."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from dbt.adapters.duckdb import connections, impl  # noqa: F401
from dbt.cli.main import dbtRunner

from cdp.garbage import collect_rarely
from cdp.settings import get_settings
from tests.dbt_project import PROJECT


def _warm() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in PROJECT.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        here = Path.cwd()
        os.chdir(folder)
        for _ in range(2):  # the second time it reads what it has parsed
            # the static parser has threads, which a fork would miss and wait for; nothing is executed for the same reason
            result = dbtRunner().invoke(["--quiet", "--no-static-parser", "--log-level-file", "none", "parse"])
            assert result.success, result.exception
        os.chdir(here)
    get_settings.cache_clear()


collect_rarely()
_warm()
