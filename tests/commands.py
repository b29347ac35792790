"""`dbt` and `cdp` for the tests, forked from a process that has imported what they need: their own start takes longer than most
of what tests ask of them. Each is a process with an environment, a folder and outputs of its own, as the real command is; so is
the dbt that `cdp` starts itself."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from multiprocessing.resource_tracker import getfd
from pathlib import Path
from typing import IO, Any

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
    subprocess.Popen = _Popen  # type: ignore[misc]
    _become(name, arguments)


def _become(name: str, arguments: Sequence[str]) -> None:
    """Do what a command of this environment does, or a module of Python's `-m`."""
    sys.argv = [name, *arguments]
    if name == "dbt":
        from dbt.cli.main import cli

        cli()
    elif name == "cdp":
        from cdp.cli import main

        main()
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)


class _Popen(subprocess.Popen[Any]):
    """Starts what a command starts, but forks where that is dbt: the process that is there before another program takes its place
    (`preexec_fn`) does the work itself."""

    def __init__(self, args: Any, **options: Any) -> None:
        match [Path(args[0]).name, *args[1:]] if isinstance(args, list) else []:
            case ["dbt", *arguments]:
                options["preexec_fn"] = partial(_instead, "dbt", arguments, options.get("env"))
            case [_, "-m", "orchestration.dbt_server" as module, *arguments]:
                options["preexec_fn"] = partial(_instead, module, arguments, options.get("env"))
        super().__init__(args, **options)


def _instead(name: str, arguments: Sequence[str], environment: Mapping[str, str] | None) -> None:
    # the pipe by which a failed start would be told is among these: closed, it says that all is well
    tracker = getfd()  # of multiprocessing, which believes it open
    os.closerange(3, tracker)
    os.closerange(tracker + 1, os.sysconf("SC_OPEN_MAX"))
    code: Any = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode) for n, mode in enumerate("rww"))
        if environment is not None:
            os.environ.clear()
            os.environ.update(environment)
        _become(name, arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else end.code is not None
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(int(code))
