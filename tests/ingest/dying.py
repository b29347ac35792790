"""Runs a source in a process of its own that ends itself with SIGKILL at a given moment, as `kill -9` would."""

from __future__ import annotations

import importlib
import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from cdp.errors import CdpError
from cdp.settings import Settings
from cdp.sources import one_source
from cdp.warehouse import writer_lock
from ingest.pipeline import import_dlt, run_source
from tests.forked import CONTEXT

import_dlt()
import dlt.destinations.impl.duckdb.duck  # noqa: E402, F401

MOMENTS = {
    # name -> (module, class, method, whether after the call, which call)
    "while extracting": ("ingest.landing", "Lander", "land", False, 2),
    "with rows numbered": ("ingest.landing", "Lander", "type", True, 2),
    "before the package is whole": ("dlt.extract.extract", "Extract", "commit_packages", False, 1),
    "before the state is kept": ("dlt.extract.extract", "Extract", "commit_packages", True, 1),
    "before normalizing": ("dlt.pipeline.pipeline", "Pipeline", "normalize", False, 1),
    "before the load": ("dlt.pipeline.pipeline", "Pipeline", "load", False, 1),
    "before the first job": ("dlt.destinations.impl.duckdb.duck", "DuckDbCopyJob", "run", False, 1),
    "after the first job": ("dlt.destinations.impl.duckdb.duck", "DuckDbCopyJob", "run", True, 1),
    "after the third job": ("dlt.destinations.impl.duckdb.duck", "DuckDbCopyJob", "run", True, 3),
    "before the load counts": ("dlt.destinations.job_client_impl", "SqlJobClientBase", "complete_load", False, 1),
    "once the load counts": ("dlt.destinations.job_client_impl", "SqlJobClientBase", "complete_load", True, 1),
    "before dlt is done": ("dlt.pipeline.pipeline", "Pipeline", "load", True, 1),
}


def start(settings: Settings, name: str, moment: str | None = None) -> BaseProcess:
    """Start a run of a source, which dies at the moment; without one it may be killed from outside."""
    process = CONTEXT.Process(target=_run, args=(settings, name, moment))
    process.start()
    return process


def run_with_little_room(settings: Settings, name: str, file_bytes: int) -> tuple[int, str]:
    """Run a source in a process whose files may have so many bytes, which fails like a full disk; (exit code, message)."""
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_run_with_little_room, args=(settings, name, file_bytes, there))
    process.start()
    there.close()
    message = here.recv() if here.poll(120) else "no answer"
    process.join(120)
    return process.exitcode or 0, message


def _run_with_little_room(settings: Settings, name: str, file_bytes: int, answer: Connection) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    try:
        answer.send(f"landed {run_source(one_source(name, settings).value, settings).total}")
    except CdpError as error:
        answer.send(error.render())
        raise SystemExit(error.exit_code) from None


def _run(settings: Settings, name: str, moment: str | None) -> None:
    if moment:
        _die_at(*MOMENTS[moment])
    with writer_lock(settings):
        run_source(one_source(name, settings).value, settings)


def _die_at(module: str, owner: str, method: str, after: bool, call: int) -> None:
    found = getattr(importlib.import_module(module), owner)
    real: Callable[..., Any] = getattr(found, method)
    calls = 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if calls == call and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(found, method, dying)
