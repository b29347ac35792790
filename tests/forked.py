"""Processes forked from one that has imported what takes long: a fresh state each, without the seconds of a start."""

from __future__ import annotations

import multiprocessing

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.dbt_loaded", "tests.cdp_loaded", "tests.ingest.dying", "tests.frozen"])
