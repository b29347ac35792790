"""A process that runs syncs in children which die: `python -m tests.reverse_etl.dying`.

Everything is imported once; each line of standard input (JSON: root, step, environment) forks a child that runs the sync
`rows` and kills itself with SIGKILL at that step. The answer is the child's exit status, and with step 0 (no death) how
many steps there were. A step is the moment before or after anything that lasts: a transaction of the ledger, a call to
the destination, a file of the logs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401 - imported before the forks
import pyarrow.parquet  # noqa: F401

from cdp.settings import Settings
from reverse_etl import alerts, delivery_log, engine  # noqa: F401
from reverse_etl.destinations.webhook import client
from reverse_etl.ledger import Ledger
from reverse_etl.pace import Pace

AS_OF = "2026-03-01T00:00:00"
DURABLE: list[tuple[Any, str]] = [
    (Ledger, "start_run"), (Ledger, "finish_run"), (Ledger, "close_crashed"), (Ledger, "advance"), (Ledger, "decide"),
    (Ledger, "close_open_rows"), (Ledger, "note_invalid"), (Ledger, "fold"), (Ledger, "mark_logged"),
    (client.Webhook, "_send"), (delivery_log, "_put"), (delivery_log, "_write_deliveries"),
]  # fmt: skip


class Steps:
    """Counts the steps of a run, and kills the process at one."""

    def __init__(self, deadly: int) -> None:
        self.count, self._deadly, self._lock = 0, deadly, threading.Lock()

    def step(self) -> None:
        with self._lock:
            self.count += 1
            if self.count == self._deadly:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.step()
            result = original(*arguments, **named)
            self.step()
            return result

        return wrapped


def child(root: str, step: int, answer: int) -> None:
    steps = Steps(step)
    for owner, name in DURABLE:
        setattr(owner, name, steps.around(getattr(owner, name)))
    Pace._wait = lambda self, seconds: None  # type: ignore[method-assign]
    result = engine.run("rows", Settings(project_root=Path(root), data_dir=Path(".cdp"), _env_file=None), AS_OF)
    os.write(answer, json.dumps({"steps": steps.count, "ok": result.ok, **result.to_dict()}).encode())


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.environ.update(asked["environment"])
            code = 1
            try:
                child(asked["root"], asked["step"], writer)
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
