"""What the benchmark of the sync engine compares with: a server that answers at once, and drt-core in a place of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).resolve().parent.parent
DRT_PACKAGES = ("drt-core>=1.2,<1.3", f"duckdb=={duckdb.__version__}")
SERVER = """
import asyncio, sys
# The least that reads a whole request and answers it, so that what is measured is who sends.
ANSWER = b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\ncontent-type: application/json\\r\\n\\r\\n{}"
class Sink(asyncio.Protocol):
    def connection_made(self, transport): self.transport, self.left, self.head = transport, 0, b""
    def data_received(self, data):
        while data:
            if self.left:
                taken = min(self.left, len(data)); self.left -= taken; data = data[taken:]
                if not self.left: self.transport.write(ANSWER)
                continue
            self.head += data; data = b""
            at = self.head.find(b"\\r\\n\\r\\n")
            if at >= 0:
                head, data, self.head = self.head[:at].lower(), self.head[at + 4:], b""
                self.left = int(head.split(b"content-length:")[1].split(b"\\r\\n")[0])
async def main():
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
DRT = """
import json, sys, time
from drt.config.models import RestApiDestinationConfig, SyncOptions
from drt.destinations.rest_api import RestApiDestination
import duckdb
started, spent = time.perf_counter(), time.process_time()
con = duckdb.connect(sys.argv[1], read_only=True)
cursor = con.execute("select * from activation.snd_bench__rows")
names = [c[0] for c in cursor.description]
rows = [dict(zip(names, (v if isinstance(v, (str, int, float, bool)) or v is None else v.isoformat() for v in row))) for row in cursor.fetchall()]
config = RestApiDestinationConfig(
    type="rest_api", url=sys.argv[2], method="POST", body_mode="batch", batch_template="{{ rows | tojson }}",
    max_records_per_request=100, rate_limit={"requests_per_second": 0},
)
destination = RestApiDestination()
begun, used = time.perf_counter(), time.process_time()
done = destination.load(rows, config, SyncOptions()).success
ended, spent_at_the_end = time.perf_counter(), time.process_time()
assert done == len(rows), done
print(json.dumps({
    "deliver_seconds": ended - begun, "deliver_processor_seconds": spent_at_the_end - used,
    "table_seconds": ended - started, "table_processor_seconds": spent_at_the_end - spent,
}))
"""


def drt_python() -> str:
    """A Python with drt-core in an environment of its own, made once; empty where the package index cannot be reached."""
    place = ROOT / ".bench" / "drt"
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
    wanted = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *DRT_PACKAGES]
    done = subprocess.run(wanted, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"drt-core cannot be installed, so nothing is compared with it: {done.stderr[-500:]}", file=sys.stderr)
        return ""
    return str(python)


def drt(root: Path, url: str, python: str) -> dict[str, Any]:
    """Rows of the table to the server, by its REST destination: seconds of that alone, and with reading the table."""
    done = subprocess.run(
        [python, "-c", DRT, str(root / ".cdp" / "warehouse.duckdb"), url], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class Server:
    """The loopback server as a process of its own."""

    def __enter__(self) -> str:
        self._process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        return f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
