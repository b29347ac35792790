"""A Postgres of our own on a free loopback port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class Postgres:
    """A running server."""

    def __init__(self, port: int) -> None:
        self._url = f"postgresql+psycopg://cdp@127.0.0.1:{port}/postgres"
        self._schemas = 0

    def schema_url(self) -> str:
        """Of an empty schema."""
        import psycopg

        self._schemas += 1
        name = f"schema_{self._schemas}"
        with psycopg.connect(self._url.replace("+psycopg", ""), autocommit=True) as con:
            con.execute(f"create schema {name}")
        return f"{self._url}?options=-csearch_path%3D{name}"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """Started for a module's tests, which are skipped where there is none."""
    initdb, pg_ctl = shutil.which("initdb"), shutil.which("pg_ctl")
    if not (initdb and pg_ctl and shutil.which("postgres")):
        pytest.skip("no Postgres on this machine (postgres, pg_ctl, initdb on the PATH)")
    # A socket's path may not be long. Postgres does not run as root, so another user writes there.
    folder = Path(os.environ.get("CDP_TEST_PG_DIR", "/tmp")) / f"cdp-pg-{os.getpid()}"  # noqa: S108
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    as_user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
    data = str(folder / "data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def do(*command: str) -> None:
        done = subprocess.run([*as_user, *command], capture_output=True, text=True, cwd="/", check=False)
        assert done.returncode == 0, done.stderr[-2000:]

    try:
        do(initdb, "-D", data, "-U", "cdp", "-A", "trust", "--no-sync")
        do(pg_ctl, "-D", data, "-l", str(folder / "log"), "-o", f"-p {port} -h 127.0.0.1 -k {folder}", "-w", "start")
        try:
            yield Postgres(port)
        finally:
            do(pg_ctl, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
