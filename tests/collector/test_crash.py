"""kill -9 at random instants, under the load of real SDKs: what was acknowledged is stored, each event once, and landed once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from cdp.settings import PROJECT_ROOT
from cdp.sources import one_source
from cdp.warehouse import reading, writer_lock
from ingest.pipeline import run_source
from tests.collector.running import Running, by_id

KILLS = int(os.environ.get("CDP_COLLECTOR_KILLS", "3"))
EVENTS = int(os.environ.get("CDP_COLLECTOR_CRASH_EVENTS", "200"))
SEED = int(os.environ.get("CDP_COLLECTOR_SEED", "6"))


def test_killed_under_load_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    print(f"seed={SEED} kills={KILLS} events={EVENTS}")
    chance = random.Random(SEED)
    environment = {"CDP_COLLECTOR_ROTATE_SECONDS": "0.7", "CDP_COLLECTOR_SEGMENT_MB": "1"}
    collector = Running(tmp_path / "own", environment).start()
    clients = []
    try:
        for number in range(4):
            sdk = ("segment", "rudder")[number % 2]
            pace = str(KILLS * 2.5 / EVENTS)
            arguments = [sdk, collector.url, "server-key", f"{sdk}{number}", str(EVENTS), pace]
            command = [sys.executable, "-m", "tests.collector.sdk_load", *arguments]
            clients.append(subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True))
        recovered = 0
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.3, 2.0))
            collector.kill()
            collector.start()
            recovered += collector.told["recovered_records"]
        answers = [json.loads(client.communicate(timeout=400)[0]) for client in clients]
    finally:
        for client in clients:
            client.kill()
            client.wait()
    assert collector.stop() == 0
    sent = {mark for answer in answers for mark in answer["sent"]}
    given_up = {mark for answer in answers for mark in answer["given_up"]}
    assert len(sent) == 4 * EVENTS
    stored = by_id(collector.records())
    assert sent - given_up <= set(stored) <= sent, "an acknowledged event is missing"
    numbers = [record["sequence"] for record in collector.records()]
    assert numbers == list(range(1, len(stored) + 1)), "numbers follow one another over all crashes"
    print(f"stored={len(stored)} given_up={len(given_up)} recovered={recovered}")

    settings = collector.settings
    with writer_lock(settings):
        loaded = run_source(one_source("collector", settings).value, settings)
    assert (loaded.total, loaded.quarantined) == (len(stored), 0)
    with reading(settings, live=True) as con:
        (row,) = con.execute("select count(*), count(distinct message_id) from raw.collector__events").fetchall()
    assert row == (len(stored), len(stored))


def test_an_answer_that_was_lost_costs_nothing(tmp_path: Path) -> None:
    """Killed after the write and before the answer: the SDK sends again, to another process, and it is there once."""
    collector = Running(tmp_path / "own").start()
    batch = {"batch": [{"type": "track", "event": "E", "messageId": f"m{n}", "userId": "u"} for n in range(20)]}
    assert collector.post("/v1/batch", batch, key="server-key").status_code == 200
    collector.kill()
    collector.start()
    assert collector.told["recovered_records"] == 20
    assert collector.post("/v1/batch", batch, key="server-key").status_code == 200
    assert collector.stop() == 0
    assert len(by_id(collector.records())) == 20
