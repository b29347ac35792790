"""How many events a second the collector acknowledges durably, how long an answer takes, and what it needs of memory.

    python -m benchmarks.collector [--seconds 10] [--memory-seconds 0] [--only batches|single|half|load]

The collector is the real command in a process of its own, the client another one with 16 kept-alive connections; both share
the machine. Every event has a message id of its own and about 600 bytes, every answer is waited for, and at the end the
records on disk are counted against the answers. The baseline, measured in the same run, is what the disk gives: groups of
the same size written and synced one after another. `--memory-seconds`: how long the load of the batches is kept up while the
collector's memory is watched.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from benchmarks._collector_client import EVENT
from ingest.collector.events import TYPES, Arrival, arrival_times, record_of
from ingest.collector.log import Log
from ingest.collector.segments import live, read_sealed, scan, sealed

ROOT = Path(__file__).resolve().parent.parent
BATCH = 20
KEY = "bench"


def main() -> None:
    """Measure in the order of the options, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--memory-seconds", type=float, default=0)
    parser.add_argument("--memory-rate", type=float, default=500, help="requests of 20 events a second")
    parser.add_argument("--load-events", type=int, default=200_000, help="events that are landed in raw; 0: none")
    parser.add_argument("--land", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="batches, single, half or load")
    options = parser.parse_args()
    if options.land:
        print(json.dumps(_land()))
        return
    with tempfile.TemporaryDirectory(prefix="cdp-bench-") as folder:
        figures: dict[str, Any] = {"disk": _disk(Path(folder))}
        runs = {"batches": (BATCH, 0.0), "single": (1, 0.0), "half": (1, 750.0)}
        for name, (batch, rate) in runs.items():
            if options.only in ("", name):
                figures[name] = measured(Path(folder) / name, options.seconds, batch, rate)
        if options.memory_seconds:
            figures["memory"] = measured(Path(folder) / "memory", options.memory_seconds, BATCH, options.memory_rate)
        if options.load_events and options.only in ("", "load"):
            figures["load"] = _loaded(Path(folder) / "load", options.load_events)
    print(json.dumps(figures, indent=2))


def _disk(folder: Path) -> dict[str, Any]:
    """What one fdatasync after 20 events costs, one after another."""
    times, line = [], b"x" * 14_000
    descriptor = os.open(folder / "probe", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for _ in range(300):
        os.write(descriptor, line)
        begun = time.perf_counter()
        os.fdatasync(descriptor)
        times.append(time.perf_counter() - begun)
    os.close(descriptor)
    times.sort()
    return {
        "sync_milliseconds": {"p50": round(times[150] * 1000, 2), "p99": round(times[297] * 1000, 2)},
        "events_a_second_if_each_batch_were_synced_alone": round(BATCH * len(times) / sum(times)),
    }


def measured(data: Path, seconds: float, batch: int, rate: float, **more: str) -> dict[str, Any]:
    """Start a collector with its log below `data` and settings `more`, send, end it, and count what is on disk."""
    with serving(data, **more) as (pid, port):
        client(port, min(1.0, seconds / 4), batch, "warm", rate)
        before, memory = cpu(pid), [_resident(pid)]
        parts, part_seconds = (10, seconds / 10) if seconds > 60 else (1, seconds)
        took, answers = 0.0, []
        for part in range(parts):
            answers.append(client(port, part_seconds, batch, f"run{part}", rate))
            took += part_seconds
            memory.append(_resident(pid))
        used = cpu(pid) - before
    acknowledged = sum(answer["acknowledged"] for answer in answers)
    last = answers[-1]
    return {
        "events_a_request": batch,
        "requests_a_second_asked_for": rate or "as many as are answered",
        "events_a_second": round(acknowledged / (parts * part_seconds)),
        "milliseconds": last["milliseconds"],
        "other_answers": sum(answer["other_answers"] for answer in answers),
        "collector_cpu_share": round(used / took, 2),
        "client_cpu_share": round(sum(a["client_cpu_seconds"] for a in answers) / took, 2),
        "collector_cpu_microseconds_an_event": round(used * 1e6 / acknowledged, 1),
        "resident_mb": memory,
        "records_on_disk_less_acknowledged": _stored(data / "collector", b"run") - acknowledged,
    }


@contextmanager
def serving(data: Path, **more: str) -> Iterator[tuple[int, int]]:
    """(process id, port) of a collector with its log below `data` and settings `more`; it is ended with the block."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CDP_")}
    environment = kept | {"CDP_DATA_DIR": str(data), "CDP_COLLECTOR__WEB_KEYS": KEY, "PYTHONUNBUFFERED": "1"} | more
    command = [str(Path(sys.executable).parent / "cdp"), "collector", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.pid, _port(server)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def client(port: int, seconds: float, batch: int, name: str, rate: float) -> dict[str, Any]:
    """Send from a process of its own; what it was told."""
    arguments = [str(port), str(seconds), str(batch), name, str(rate)]
    command = [sys.executable, "-m", "benchmarks._collector_client", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def _port(server: subprocess.Popen[str]) -> int:
    text = ""
    while "}\n" not in text or not text.rstrip().endswith("}"):
        line = server.stdout.readline() if server.stdout else ""
        if not line:
            raise SystemExit("the collector did not start")
        text += line
        try:
            return int(json.loads(text)["port"])
        except ValueError:
            continue
    raise SystemExit("the collector did not say its port")


def _loaded(data: Path, events: int) -> dict[str, Any]:
    """Land events that the log has in many segments, as a fresh process; the share of that process's profile by its parts."""
    log = Log(data / "collector", segment_bytes=16 * 1024**2)
    log.open()
    arrival_ = datetime(2026, 3, 1, 10, tzinfo=UTC)
    arrival = Arrival("web", "web", frozenset(TYPES), arrival_, arrival_times(arrival_), None, 512 * 1024)

    async def fill() -> None:
        for first in range(0, events, 5000):
            numbers = range(first, min(events, first + 5000))
            made = [orjson.loads(EVENT % (b"load", n, n % 200_000, n % 50_000)) for n in numbers]
            await log.append([record_of(event, arrival)[1] for event in made], [])

    asyncio.run(fill())
    log.close()
    command = [sys.executable, "-m", "benchmarks.collector", "--land", "yes"]
    environment = os.environ | {"CDP_DATA_DIR": str(data)}
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    found = dict(json.loads(done.stdout))
    assert found["rows"] == events
    seconds = time.perf_counter() - begun
    return found | {"seconds": round(seconds, 1), "events_per_cpu_second": round(events / found["cpu_seconds"])}


def _land() -> dict[str, Any]:
    """Land what the log has; where the time went, by the functions that the load consists of."""
    import cProfile
    import pstats

    from cdp.settings import get_settings
    from cdp.sources import one_source
    from cdp.warehouse import writer_lock
    from ingest.pipeline import import_dlt, run_source

    import_dlt()
    settings, profile = get_settings(), cProfile.Profile()
    with writer_lock(settings):
        profile.enable()
        loaded = run_source(one_source("collector", settings).value, settings)
        profile.disable()
    spent = {key[2]: round(row[3], 2) for key, row in pstats.Stats(profile).stats.items()}  # type: ignore[attr-defined]
    used = resource.getrusage(resource.RUSAGE_SELF)
    parts = ("read_sealed", "_add", "json_relation", "type", "extract", "normalize", "load")
    return {
        "rows": loaded.total,
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "seconds_by_part": {name: spent[name] for name in parts if name in spent},
        "peak_memory_mb": used.ru_maxrss // 1024,
    }


def _stored(folder: Path, mark: bytes) -> int:
    assert not [scan(segment.path) for segment in live(folder)]
    return sum(read_sealed(segment).count(b'"messageId":"' + mark) for segment in sealed(folder))


def cpu(pid: int) -> float:
    """Seconds of processor time of a process and its threads, to the nanosecond."""
    return sum(int(p.read_text().split()[0]) for p in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) // 1024


if __name__ == "__main__":
    main()
