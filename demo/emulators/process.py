"""Starts, finds and ends the background process that serves the emulators."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from filelock import FileLock, Timeout

from cdp.errors import BusyError, CdpError
from demo.emulators.server import HOST, Places
from demo.world.summary import read_summary

START_SECONDS = 60.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.1
_MODULE = "demo.emulators.server"


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    pid: int
    port: int
    emulators: list[str]
    as_of: str

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"


def status(places: Places) -> Running | None:
    """The running server, or None. A server.json that a killed server left behind counts as none."""
    pid, port = _whereabouts(places)
    if pid is None or port is None or not _is_alive(places):
        return None
    try:
        answer = httpx.get(f"http://{HOST}:{port}/_health", timeout=5.0, trust_env=False).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
    return Running(pid, port, answer["emulators"], answer["as_of"]) if answer.get("pid") == pid else None


def up(places: Places) -> tuple[Running, bool]:
    """Start the server and wait until it answers and world.env is written; (server, whether it was started now).

    Raises ConfigurationError when there is no world, BusyError when a server runs but does not answer, CdpError with
    the end of its log when it does not come up.
    """
    read_summary(places.world_dir)
    if (running := status(places)) is not None:
        return running, False
    if _is_alive(places):
        raise BusyError(
            "a server runs but does not answer",
            where=str(places.server_path),
            fix="run `cdp world down`, then `cdp world up` again",
        )
    log_path = places.data_dir / "logs" / "world.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    _forget(places)
    command = [sys.executable, "-m", _MODULE, "--world", str(places.world_dir), "--data-dir", str(places.data_dir)]
    root = Path(__file__).resolve().parents[2]
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        running = status(places)
        if running is not None and running.pid == process.pid and places.env_path.exists():
            return running, True
        time.sleep(_POLL_SECONDS)
    if process.poll() is None:
        process.kill()
        process.wait()
    raise CdpError(
        f"the emulators did not come up:\n{_tail(log_path)}", where=str(log_path), fix="see the log for the cause"
    )


def down(places: Places) -> int | None:
    """End the server; its process id, or None when none ran. Raises CdpError when it cannot be ended."""
    pid, _ = _whereabouts(places)
    if pid is None or not _is_alive(places):
        _forget(places)
        return None
    for send in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, send)
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end:
            if not _is_alive(places):
                _forget(places)
                return pid
            time.sleep(_POLL_SECONDS)
    raise CdpError("cannot be ended", where=f"process {pid}", fix=f"end it with `kill -9 {pid}`")


def _whereabouts(places: Places) -> tuple[int | None, int | None]:
    try:
        found = json.loads(places.server_path.read_text(encoding="utf-8"))
        return int(found["pid"]), int(found["port"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None, None


def _is_alive(places: Places) -> bool:
    """Whether a server holds the lock: a process id alone may belong to another program by now."""
    if not places.lock_path.exists():
        return False
    try:
        with FileLock(places.lock_path, timeout=0):
            return False
    except Timeout:
        return True


def _forget(places: Places) -> None:
    places.server_path.unlink(missing_ok=True)
    places.env_path.unlink(missing_ok=True)


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
