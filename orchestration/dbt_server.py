"""One process that has dbt and the project's manifest in memory, and forks for each call of dbt that a run makes.

A call of dbt's executable needs 5 to 7 s before it builds the first model: imports, the manifest read and checked anew, classes
generated. A run makes three, and a micro-batch has no such seconds at all. The server starts beside the run's other imports,
parses the project once, and a fork of it begins to build after a second. A fork is a process of its own: it lets go of the
warehouse when it ends, and what it changes in memory ends with it.

The server ends when the process that started it does, however that ends, and takes what runs with it: no dbt is left behind
that holds the warehouse. Only Linux: elsewhere forks of a process with loaded frameworks are not safe, and dbt's executable is
called as ever. A fork must not parse: dbt's static parser has threads by then, which stay behind in the server.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cdp.garbage import collect_rarely
from cdp.settings import Settings
from orchestration.dbt_client import SERVER

AVAILABLE = sys.platform == "linux"
PARSE = ["--no-use-colors", "--log-level-file", "info", "parse", "--project-dir", ".", "--profiles-dir", "."]


class DbtServer:
    """The server of this process; `parsed` waits until it has read the project."""

    def __init__(self, settings: Settings, *, write: bool) -> None:
        """`write`: whether the manifest is written (it is read by others meanwhile when it is current)."""
        self._folder = tempfile.TemporaryDirectory(prefix="cdp-dbt-")  # short: a socket's path has at most 107 bytes
        path = str(Path(self._folder.name) / "socket")
        self._answer: tuple[int, str] | None = None
        self._log = settings.path("logs", "dbt_server.log")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orchestration.dbt_server", path, "write" if write else "read"],
                cwd=settings.dbt_dir,
                env={**os.environ, **settings.dbt_environment()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        os.environ[SERVER] = path

    def parsed(self) -> tuple[int, str]:
        """(exit code, output) of `dbt parse`."""
        if self._answer is None:
            line = self._process.stdout.readline() if self._process.stdout else ""
            self._answer = (
                tuple(json.loads(line))
                if line
                else (2, f"dbt's server ended while it read the project, see {self._log}")
            )
        return self._answer

    def close(self) -> None:
        """End the server and what it runs."""
        os.environ.pop(SERVER, None)
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        self._process.wait()
        self._folder.cleanup()


_servers: list[DbtServer] = []


def start(settings: Settings, *, write: bool = False) -> None:
    """Start the server of this process, if there can be one and there is none."""
    if AVAILABLE and not _servers:
        _servers.append(DbtServer(settings, write=write))


def current() -> DbtServer | None:
    """The server of this process."""
    return _servers[0] if _servers else None


@contextmanager
def running(settings: Settings) -> Iterator[None]:
    """Calls of dbt in the block are answered by a server, where there can be one; it ends with the block."""
    start(settings)
    try:
        yield
    finally:
        close()


def close() -> None:
    """End the server of this process, if there is one."""
    while _servers:
        _servers.pop().close()


def serve(path: str, *, write: bool) -> None:
    """What the server's process does, in the project's folder: parse, say how it went on standard output, answer calls."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the run, which ends this
    collect_rarely()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen()
        code, output, manifest = _parse(write)
        sys.stdout.write(json.dumps([code, output]) + "\n")
        sys.stdout.flush()
        if code == 0:
            gc.collect()
            gc.freeze()  # forks share what is there
            _Calls(listening, manifest).answer()


def _parse(write: bool) -> tuple[int, str, Any]:
    from dbt.adapters.duckdb import connections, impl  # noqa: F401 - what a build needs beyond a parse
    from dbt.cli.main import dbtRunner
    from dbt.task import build  # noqa: F401

    from orchestration.dbt_log import drop_unseen_events

    drop_unseen_events()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            result = dbtRunner().invoke([*PARSE, *([] if write else ["--no-write-json"])])
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
        file.seek(0)
        output = file.read().decode("utf-8", "replace")
    return _code(result), output, result.result


def _code(result: Any) -> int:
    """The exit code with which dbt's executable would leave."""
    return 0 if result.success else 1 if result.exception is None else 2


class _Calls:
    """Answers calls, each by a fork, until standard input ends."""

    def __init__(self, listening: socket.socket, manifest: Any) -> None:
        self.listening = listening
        self.manifest = manifest
        self.selector = selectors.DefaultSelector()
        self.running: dict[int, tuple[int, socket.socket]] = {}  # process -> descriptor of its end, caller

    def answer(self) -> None:
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        self.selector.register(self.listening, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is sys.stdin:
                    for pid in self.running:
                        os.kill(pid, signal.SIGTERM)
                    return
                if key.fileobj is self.listening:
                    self._begin(self.listening.accept()[0])
                elif key.data in self.running:
                    self._ended(key.data) if key.fd == self.running[key.data][0] else self._left(key.data)

    def _begin(self, caller: socket.socket) -> None:
        descriptors: list[int] = []
        try:
            head, descriptors, _, _ = socket.recv_fds(caller, 8, 3)
            with caller.makefile("rb", buffering=0) as stream:
                request = json.loads(_exactly(stream, int.from_bytes(head, "big")))
        except (OSError, ValueError):  # it ended while it asked
            for descriptor in descriptors:
                os.close(descriptor)
            caller.close()
            return
        pid = os.fork()
        if pid == 0:
            self._child(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        ended = os.pidfd_open(pid)
        self.running[pid] = (ended, caller)
        self.selector.register(ended, selectors.EVENT_READ, pid)
        self.selector.register(caller, selectors.EVENT_READ, pid)
        _tell(caller, pid)

    def _child(self, request: dict[str, Any], descriptors: list[int]) -> None:
        code = 2
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.selector.close()
            self.listening.close()
            for ended, caller in self.running.values():
                os.close(ended)
                caller.close()
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.environ.clear()
            os.environ.update(request["environment"])
            os.chdir(request["folder"])
            code = self._run(request["arguments"])
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # the server's own exit handlers are not ours

    def _run(self, arguments: list[str]) -> int:
        from dbt.cli.main import dbtRunner

        result = dbtRunner(manifest=self.manifest).invoke(arguments)
        if result.exception is not None:
            sys.stderr.write(f"{result.exception}\n")
        return _code(result)

    def _ended(self, pid: int) -> None:
        ended, caller = self.running.pop(pid)
        _, status = os.waitpid(pid, 0)
        _tell(caller, os.waitstatus_to_exitcode(status))
        self.selector.unregister(ended)
        if caller in self.selector.get_map():
            self.selector.unregister(caller)
        os.close(ended)
        caller.close()

    def _left(self, pid: int) -> None:
        """The caller is gone without waiting: dbt does not outlive it."""
        self.selector.unregister(self.running[pid][1])
        os.kill(pid, signal.SIGTERM)


def _exactly(stream: Any, size: int) -> bytes:
    found = bytearray()
    while len(found) < size and (more := stream.read(size - len(found))):
        found += more
    return bytes(found)


def _tell(caller: socket.socket, number: int) -> None:
    try:
        caller.sendall(b"%d\n" % number)
    except OSError:
        return  # it did not wait


if __name__ == "__main__":
    serve(sys.argv[1], write=sys.argv[2] == "write")
