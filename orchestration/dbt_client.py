"""`cdp-dbt`: dbt's command line, answered by the run's dbt server (`orchestration.dbt_server`) when there is one.

Dagster starts dbt as a process of its own; this is that process. It hands its arguments, environment and outputs to the
server, passes signals on, and leaves with the exit code of what ran. Standard library alone: it starts in 30 ms.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

SERVER = "CDP_DBT_SERVER"


def main() -> None:
    """Entry point; without a server it becomes dbt itself."""
    path = os.environ.get(SERVER)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path or "")
        except OSError:
            dbt = str(Path(sys.executable).with_name("dbt"))
            os.execv(dbt, [dbt, *sys.argv[1:]])  # noqa: S606 - the dbt of this environment
        sys.exit(_through(connection))


def _through(connection: socket.socket) -> int:
    request = json.dumps(
        {"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": str(Path.cwd())}
    ).encode()
    socket.send_fds(connection, [len(request).to_bytes(8, "big")], [0, 1, 2])
    connection.sendall(request)
    with connection.makefile("r", encoding="ascii") as answers:
        child = answers.readline()
        if child:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda received, _: os.kill(int(child), received))
            code = answers.readline()
            if code:
                return int(code)
    sys.stderr.write("dbt's server ended before dbt did; run again\n")
    return 2
