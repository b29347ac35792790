"""A process that runs syncs in children which die: `python -m tests.reverse_etl.dying`.

Everything is imported once, and warmed by the first run that is asked for; each line of standard input (JSON: root, step,
environment, ...) forks a child that runs the sync `rows` and kills itself with SIGKILL at that step. The answer is the
child's exit status, and for a run that came to its end its figures and how many steps it had.

A step is the moment before something lasts: a commit of the ledger, a call to the destination, a log file put in its
place. What happens between two of them is gone with the process, so these are all the moments that differ.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401 - imported before the forks
import pyarrow.compute  # noqa: F401
from pydantic import SecretStr
from sqlalchemy import event
from sqlalchemy.engine import Engine

from cdp.settings import Settings
from reverse_etl import catalog, engine, ledger_state
from reverse_etl.catalog import ResolvedSync
from reverse_etl.deliver import Delivering
from reverse_etl.destination import connect
from reverse_etl.pace import Pace
from reverse_etl.wire import Wire

AS_OF = "2026-03-01T00:00:00"
# Small batches and windows, and a base that is folded often: many boundaries with few rows.
BATCH_ROWS, WINDOW, CONCURRENCY, FOLD_ROWS = 10, 3, 2, 400


class Steps:
    """Counts the steps of a run by kind, and kills the process at one."""

    def __init__(self, deadly: int, told: int) -> None:
        self.count, self._deadly, self._told, self._lock = 0, deadly, told, threading.Lock()

    def step(self, kind: str) -> None:
        with self._lock:
            self.count += 1
            if self.count == self._deadly:
                os.write(self._told, json.dumps({"died_before": kind}).encode())
                os.kill(os.getpid(), signal.SIGKILL)

    def before(self, owner: type, name: str, kind: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.step(kind)
            return original(*arguments, **named)

        setattr(owner, name, wrapped)


def small(resolved: ResolvedSync) -> ResolvedSync:
    """The sync with batches of few rows."""
    limits = resolved.object.batch.model_copy(update={"rows": BATCH_ROWS})
    spec = resolved.spec.model_copy(update={"concurrency": CONCURRENCY})
    return replace(resolved, spec=spec, object=resolved.object.model_copy(update={"batch": limits}))


def settings_of(asked: Mapping[str, Any]) -> Settings:
    """Of the project at `root`, with its ledger at `ledger`."""
    found = Settings(project_root=Path(asked["root"]), data_dir=Path(".cdp"), threads=1, _env_file=None)
    return found.model_copy(update={"ledger_url": SecretStr(asked["ledger"])}) if asked.get("ledger") else found


def child(asked: Mapping[str, Any], answer: int) -> None:
    """One run, that ends at a step or as it must."""
    os.environ.update(asked["environment"])
    steps = Steps(asked["step"], answer)
    event.listen(Engine, "commit", lambda _: steps.step("commit"))
    steps.before(Wire, "call", "call")
    steps.before(Path, "replace", "file")
    Pace._wait = lambda self, seconds: None  # type: ignore[method-assign]
    Delivering._width = lambda self: WINDOW  # type: ignore[method-assign]
    ledger_state._FOLD_ROWS = FOLD_ROWS
    settings = settings_of(asked)
    try:
        result = engine.run("rows", settings, AS_OF, resolved=small(catalog.resolve("rows", settings)))
    except Exception as error:  # a run may be refused; the test judges by what is told
        told: dict[str, Any] = {"ok": False, "error": type(error).__name__, "told": str(error)[:500]}
    else:
        told = {"ok": result.ok, **result.to_dict()}
    os.write(answer, json.dumps({"steps": steps.count, **told}).encode())


def main() -> None:
    """Answer one line with one line."""
    for number, line in enumerate(sys.stdin):
        asked = json.loads(line)
        if number == 0:
            # What the first plan of a process reads and builds, once for all children. It opens nothing that stays open.
            os.environ.update(asked["environment"])
            settings, resolved = settings_of(asked), catalog.resolve("rows", settings_of(asked))
            engine.plan("rows", settings, resolved=resolved)
            connect(resolved, settings, engine.pace_of(resolved)).close()
            gc.collect()
            gc.freeze()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(asked, writer)
                code = 0
            finally:
                os._exit(code)
        os.close(writer)
        if asked.get("after") is not None:
            threading.Event().wait(asked["after"])
            os.kill(pid, signal.SIGKILL)
        told = b"".join(iter(lambda: os.read(reader, 65536), b""))  # noqa: B023
        os.close(reader)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), **json.loads(told or b"{}")}), flush=True)


if __name__ == "__main__":
    main()
