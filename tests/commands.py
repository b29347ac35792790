"""`dbt` and `cdp` for the tests, forked from a process that has imported what they need: their own start takes longer than most
of what tests ask of them. Each is a process with an environment, a folder and outputs of its own, as the real command is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.forked import CONTEXT


class Begun:
    """A command under way. `pid` is its process."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self._command = [name, *arguments]
        given = (name, arguments, os.fspath(folder), dict(environment), _Handed(self._out), _Handed(self._err))
        self._process = CONTEXT.Process(target=_run, args=given)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def under_way(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def said(self) -> str:
        """What it has written to standard error so far."""
        return _text(self._err)

    def printed(self, number: int, timeout: float = 300) -> str:
        """A line of standard output, counted from 0: waits until it is whole."""
        until = time.monotonic() + timeout
        while (text := _text(self._out)).count("\n") <= number:
            assert self.under_way() and time.monotonic() < until, f"line {number} never came: {text}{self.said()}"
            time.sleep(0.02)
        return text.splitlines()[number]

    def terminate(self) -> None:
        """Ask it to end; nothing when it has."""
        self._process.terminate()

    def end(self, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Wait for its end."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
        with self._out, self._err:
            done = subprocess.CompletedProcess(self._command, code or 0, _text(self._out), _text(self._err))
        if code is None:
            raise subprocess.TimeoutExpired(self._command, timeout, done.stdout, done.stderr)
        return done


def dbt(
    *arguments: str, folder: Path, environment: Mapping[str, str], timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """Run dbt in a folder with nothing but the given environment; what it printed is in `stdout`, then `stderr`."""
    done = Begun("dbt", arguments, folder, environment).end(timeout)
    done.stdout += done.stderr
    return done


def cdp(
    *arguments: str, folder: Path, environment: Mapping[str, str], timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """Run `cdp` in a folder with nothing but the given environment."""
    return Begun("cdp", arguments, folder, environment).end(timeout)


def _text(file: IO[bytes]) -> str:
    # by place, as the other process writes through the same open file
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode("utf-8", "replace")


class _Handed:
    """An open file that goes to the other process as it is."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[object]]:
        from multiprocessing.reduction import DupFd

        return _descriptor, (DupFd(self.file.fileno()),)


def _descriptor(handed: object) -> int:
    return int(handed.detach())  # type: ignore[attr-defined]


def _run(name: str, arguments: Sequence[str], folder: str, environment: dict[str, str], out: int, err: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [name, *arguments]
    if name == "dbt":
        from dbt.cli.main import cli

        cli()
    else:
        from cdp.cli import main

        main()
