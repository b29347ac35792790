"""Imported by the process that `tests.commands` forks from: what `cdp run` imports, and nothing that reads settings on import."""

from __future__ import annotations

import dagster
import dagster._core.storage.event_log
import dagster._core.storage.runs
import dagster._core.storage.schedules  # noqa: F401
import dagster_dbt  # noqa: F401
import matplotlib.figure  # noqa: F401

import cdp.cli  # noqa: F401
from cdp.settings import get_settings
from expectations.runner import import_great_expectations
from ingest.pipeline import import_dlt

import_great_expectations()
import_dlt()
get_settings.cache_clear()
