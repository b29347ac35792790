"""dbt's command line for the tests, forked from a process that has it in memory: its own start takes longer than most of what
tests ask of it."""

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
        process = CONTEXT.Process(target=_run, args=(arguments, os.fspath(folder), dict(environment), _Handed(file)))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
        file.seek(0)
        said = file.read().decode("utf-8", "replace")
    return subprocess.CompletedProcess(["dbt", *arguments], process.exitcode or 0, said, "")


class _Handed:
    """An open file that goes to the other process as it is."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[object]]:
        from multiprocessing.reduction import DupFd

        return _descriptor, (DupFd(self.file.fileno()),)


def _descriptor(handed: object) -> int:
    return int(handed.detach())  # type: ignore[attr-defined]


def _run(arguments: Sequence[str], folder: str, environment: dict[str, str], output: int) -> None:
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["dbt", *arguments]
    from dbt.cli.main import cli

    cli()
