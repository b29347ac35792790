"""From the SDK's call to the row at an emulated destination, through `cdp collector serve` and `cdp live` at default settings.

    python -m benchmarks.freshness [--seconds 300] [--every 3] [--persons 2000] [--data DIR] [--no-baseline]

The demo world is built first (`--data`: a data folder where that was done). Then people who are HubSpot contacts say their job
title through Segment's Python SDK, and sign up, at uneven times (seed 7). A job title has arrived when HubSpot's emulator holds
it for that contact: load, identity, profiles, segments, sync. A sign-up has arrived when the webhook's emulator holds the
event. Each is looked for twice a second. The share of each part of the batches tells where the time goes; the baseline is the
same way by `cdp run`, measured once at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CDP = str(Path(sys.executable).with_name("cdp"))
KEY = "bench"
LONGEST = 180.0


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="how long calls are made")
    parser.add_argument("--every", type=float, default=3, help="seconds between two people, on average")
    parser.add_argument("--persons", type=int, default=2000, help="size of the demo world")
    parser.add_argument("--data", type=Path, help="a data folder with a built demo world (it is changed)")
    parser.add_argument("--no-baseline", action="store_true", help="without `cdp run` at the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cdp-freshness-") as made:
        data = (options.data or Path(made)).resolve()
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CDP_") or k == "CDP_SHARED_DATA"}
        environment = kept | {"CDP_DATA_DIR": str(data), f"CDP_COLLECTOR__WEB_{'KEYS'}": KEY, "PYTHONUNBUFFERED": "1"}
        if not options.data:
            _cdp(environment, "world", "generate", "--persons", str(options.persons))
        _cdp(environment, "world", "up")
        try:
            if not options.data:
                _cdp(environment, "run")
            figures = _measure(data, environment, options.seconds, options.every)
            if not options.no_baseline:
                begun = time.monotonic()
                _cdp(environment, "run")
                figures["baseline_cdp_run_seconds"] = round(time.monotonic() - begun, 1)
            print(json.dumps(figures, indent=2))
        finally:
            _cdp(environment, "world", "down")


def _measure(data: Path, environment: dict[str, str], seconds: float, every: float) -> dict[str, Any]:
    people = _people(data)
    collector = _start(environment, "collector", "serve", "--port", "0", "--json")
    following = _start(environment, "live", "--json")
    batches: list[dict[str, Any]] = []
    reader = threading.Thread(target=_read, args=(following, batches), daemon=True)
    try:
        port = _port(collector)
        reader.start()
        _until(lambda: batches, 300)
        memory = _resident(following.pid)
        before = len(batches)
        watch = Watch(data / "emulators")
        _call(f"http://127.0.0.1:{port}", people, seconds, every, watch)
        arrived = watch.finished()
        calls = watch.calls
        grown = _resident(following.pid) - memory
    finally:
        for process in (following, collector):
            process.send_signal(signal.SIGTERM)
            process.wait(120)
    used = [b for b in batches[before:] if b["rows"]]
    parts = sorted({part for b in used for part in b["seconds"]} - {"all"})
    return {
        "calls": len(calls),
        "job_title_at_hubspot_seconds": _spread([s for (kind, _, _), s in arrived.items() if kind == "title"]),
        "event_at_webhook_seconds": _spread([s for (kind, _, _), s in arrived.items() if kind == "event"]),
        "never_arrived": len(calls) - len(arrived),
        "batches": len(used),
        "events_in_a_batch": round(sum(b["rows"] for b in used) / max(1, len(used)), 1),
        "models_in_a_batch": max((b["models"] for b in used), default=0),
        "batch_seconds": _spread([b["seconds"]["all"] for b in used]),
        "batch_seconds_by_part": {
            p: round(sum(b["seconds"].get(p, 0) for b in used) / max(1, len(used)), 2) for p in parts
        },
        "failed": sum(len(b["failed"]) for b in batches),
        "held_back": sorted({f"{name}: {why}" for b in batches for name, why in b["held"].items()}),
        "live_memory_mb": {"at_the_start": memory, "grown": grown},
    }


def _people(data: Path) -> list[tuple[str, str]]:
    """(e-mail, user id) of contacts without a job title, in an order that does not depend on the warehouse."""
    import duckdb

    with duckdb.connect(str(data / "warehouse.duckdb"), read_only=True) as con:
        found = con.execute(
            """
            select contacts.email, persons.user_id
            from activation.snd_hubspot__contacts as contacts
            inner join profiles.person as persons
                on persons.person_id = contacts.person_id and persons.user_id is not null
            inner join profiles.person_consent as consents
                on consents.person_id = contacts.person_id and consents.purpose = 'analytics' and consents.is_granted
            where contacts.job_title is null
            order by md5(contacts.email)
            """
        ).fetchall()
    return [(str(email), str(user_id)) for email, user_id in found]


def _call(url: str, people: list[tuple[str, str]], seconds: float, every: float, watch: Watch) -> None:
    """Say who they are and sign up, one after another."""
    from segment.analytics.client import Client

    client = Client(KEY, host=url, on_error=lambda error, _: print(error, file=sys.stderr))
    chance, end = random.Random(7), time.time() + seconds
    for number, (email, user_id) in enumerate(people):
        if time.time() >= end:
            break
        title, message = f"Lamp reviewer {int(end)}-{number}", f"freshness-{int(end)}-{number}"
        watch.calls["title", email, title] = watch.calls["event", f"collector:{message}", ""] = time.time()
        client.identify(user_id, {"title": title})
        client.track(user_id, "Signed Up", {"method": "email"}, message_id=message)
        time.sleep(chance.uniform(0, 2 * every))
    client.shutdown()


class Watch:
    """Looks into the emulators' own databases twice a second, in a thread. A call: (title, address, text) or (event, key, "")."""

    def __init__(self, folder: Path) -> None:
        self.calls: dict[tuple[str, str, str], float] = {}
        self._arrived: dict[tuple[str, str, str], float] = {}
        self._folder, self._done = folder, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def finished(self) -> dict[tuple[str, str, str], float]:
        """Seconds from each call to its arrival, once all have arrived or LONGEST has passed since the last call."""
        deadline = max(self.calls.values()) + LONGEST
        while len(self._arrived) < len(self.calls) and time.time() < deadline:
            time.sleep(0.5)
        self._done.set()
        self._thread.join()
        return self._arrived

    def _look(self) -> None:
        while not self._done.wait(0.5):
            waiting = [call for call in list(self.calls) if call not in self._arrived]
            for call in waiting:
                if self._is_there(*call):
                    self._arrived[call] = time.time() - self.calls[call]

    def _is_there(self, kind: str, key: str, text: str) -> bool:
        if kind == "title":
            query = "select json_extract(properties, '$.jobtitle') = ? from contact where email = ?"
            return bool((self._ask("hubspot", query, text, key) or [0])[0])
        return bool(self._ask("webhook", "select 1 from event where key = ?", key))

    def _ask(self, name: str, query: str, *values: str) -> Any:
        with closing(sqlite3.connect(f"file:{self._folder}/{name}.sqlite?mode=ro", uri=True)) as con:
            return con.execute(query, values).fetchone()


def _cdp(environment: dict[str, str], *arguments: str) -> None:
    done = subprocess.run([CDP, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"cdp {' '.join(arguments)} ended with {done.returncode}\n{done.stderr[-3000:]}")


def _start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([CDP, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def _read(process: subprocess.Popen[str], batches: list[dict[str, Any]]) -> None:
    for line in process.stdout or []:
        batches.append(json.loads(line))


def _port(server: subprocess.Popen[str]) -> int:
    text = ""
    for line in server.stdout or []:
        text += line
        if line.startswith("}") or line.rstrip().endswith("}"):
            return int(json.loads(text)["port"])
    raise SystemExit("the collector did not start")


def _until(met: Callable[[], Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            raise SystemExit("cdp live made no batch")
        time.sleep(0.2)


def _resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) // 1024


def _spread(values: list[float]) -> dict[str, float]:
    found = sorted(values)
    if not found:
        return {}
    return {f"p{p}": round(found[min(len(found) - 1, int(len(found) * p / 100))], 1) for p in (50, 95, 100)}


if __name__ == "__main__":
    main()
