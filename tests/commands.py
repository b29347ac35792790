"""`dbt` and `cdp` for the tests, forked from a process that has imported what they need: their own start takes longer than most
of what tests ask of them. Each is a process with an environment, a folder and outputs of its own, as the real command is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.forked import CONTEXT


def dbt(
    *arguments: str, folder: Path, environment: Mapping[str, str], timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """Run dbt in a folder with nothing but the given environment; what it printed (both outputs) is in `stdout`."""
    with tempfile.TemporaryFile() as file:
        done = _forked("dbt", arguments, folder, environment, timeout, file, file)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout, "")


def cdp(
    *arguments: str, folder: Path, environment: Mapping[str, str], timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """Run `cdp` in a folder with nothing but the given environment."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        return _forked("cdp", arguments, folder, environment, timeout, out, err)


def _forked(
    name: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    timeout: float,
    out: IO[bytes],
    err: IO[bytes],
) -> subprocess.CompletedProcess[str]:
    given = (name, arguments, os.fspath(folder), dict(environment), _Handed(out), _Handed(err))
    process = CONTEXT.Process(target=_run, args=given)
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired([name, *arguments], timeout)
    return subprocess.CompletedProcess([name, *arguments], process.exitcode, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


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
