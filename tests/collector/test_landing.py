"""Closed segments land in raw, each record once: whatever is restarted, lost, put back or out of date."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import CdpError
from cdp.settings import Settings
from cdp.sources import one_source
from cdp.warehouse import reading, writer_lock
from ingest.collector.log import Log
from ingest.collector.segments import live, sealed
from ingest.kinds.collector import replay_log
from ingest.pipeline import Loaded, run_source
from ingest.quarantine import open_rows
from ingest.replay import replay
from ingest.status import has_new_data
from tests.collector.running import Running

HEAD = b'"receivedAt":"2026-03-01T%02d:00:00.000Z","timestamp":"2026-03-01T10:00:00.000Z","source":"web",'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a data folder of their own."""
    return Settings(data_dir=tmp_path, _env_file=None)


def write(settings: Settings, first: int, count: int, *extra: tuple[bytes, bytes], hour: int = 1) -> None:
    """Write events m<first>.. (and other records) into the log and close it."""
    log = Log(settings.collector_path, rotate_seconds=3600)
    log.open()
    events = [
        (b"", HEAD % hour + b'"messageId":"m%d","type":"track","event":"E"}' % n) for n in range(first, first + count)
    ]
    asyncio.run(log.append([*events, *extra], []))
    log.close()


def load(settings: Settings) -> Loaded:
    """One load."""
    with writer_lock(settings):
        return run_source(one_source("collector", settings).value, settings)


def landed(settings: Settings, columns: str = "message_id") -> list[Any]:
    """What raw holds, in order."""
    with reading(settings, live=True) as con:
        rows = con.execute(f"select {columns} from raw.collector__events order by _cdp_sequence").fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def test_each_load_takes_what_is_new(settings: Settings) -> None:
    source = one_source("collector", settings).value
    assert not has_new_data(source, settings)
    assert load(settings).total == 0, "without a collector there is nothing, and that is no error"
    for turn in range(3):
        write(settings, turn * 5, 5)
        assert has_new_data(source, settings)
        assert load(settings).rows == {"events": 5}
        assert not has_new_data(source, settings)
        assert load(settings).total == 0
    assert landed(settings) == [f"m{n}" for n in range(15)]
    assert landed(settings, "sequence") == list(range(1, 16))
    assert landed(settings, "_cdp_sequence") == sorted(landed(settings, "_cdp_sequence"))


def test_what_is_not_closed_is_not_loaded(own_collector: Callable[..., Running]) -> None:
    """A live file may still lose its end; its records come with the next load after it was closed."""
    collector = own_collector(CDP_COLLECTOR_ROTATE_SECONDS="3600")
    assert collector.post("/v1/t", {"event": "E", "userId": "u", "messageId": "m0"}).status_code == 200
    assert load(collector.settings).total == 0
    collector.kill()
    assert load(collector.settings).total == 0
    collector.start()
    assert load(collector.settings).rows == {"events": 1}
    assert landed(collector.settings) == ["m0"]


def test_records_of_all_kinds(settings: Settings) -> None:
    webhook = (
        b'"webhook":"shopify",',
        b'"source":"shopify","messageId":"d1","topic":"orders/create","payload":{"id":1}}',
    )
    rejected = (b'"rejected":"event: a track event needs a name",', HEAD % 1 + b'"messageId":"r1","type":"track"}')
    write(settings, 0, 3, webhook, rejected)
    write(settings, 3, 1, webhook)
    loaded = load(settings)
    assert (loaded.rows, loaded.quarantined) == ({"events": 4, "webhooks": 2}, 1)
    with reading(settings, live=True) as con:
        rows = con.execute("select sequence, source, topic, payload from raw.collector__webhooks order by 1").fetchall()
    assert rows == [(4, "shopify", "orders/create", '{"id":1}'), (7, "shopify", "orders/create", '{"id":1}')]
    (row,) = open_rows(settings, "collector")
    assert (row.reason, row.position) == ("event: a track event needs a name", 5)
    assert load(settings).total == 0


def test_what_was_set_aside_is_mended_and_lands_once(settings: Settings) -> None:
    rejected = (
        b'"rejected":"type: is not one of track",',
        HEAD % 1 + b'"messageId":"r1","type":"purchase","event":"E"}',
    )
    write(settings, 0, 1, rejected)
    load(settings)
    (row,) = open_rows(settings, "collector")
    mended = json.loads(row.original or "") | {"type": "track"}
    with writer_lock(settings):
        still = replay(settings)
        done = replay(settings, corrections={row.quarantine_key: json.dumps(mended)})
        again = replay(settings, corrections={row.quarantine_key: json.dumps(mended)})
    assert (still.replayed, len(still.unreadable)) == (0, 1), "as it is its type does not fit"
    assert (done.replayed, again.replayed, again.closed) == (1, 0, 1)
    assert landed(settings) == ["m0", "r1"]


def test_a_lost_warehouse_is_filled_again(settings: Settings) -> None:
    write(settings, 0, 5)
    load(settings)
    write(settings, 5, 5)
    settings.warehouse_path.unlink()
    assert load(settings).total == 10
    assert landed(settings) == [f"m{n}" for n in range(10)]


def test_missing_segments_are_told_and_can_be_put_back(settings: Settings, tmp_path: Path) -> None:
    for turn in range(3):
        write(settings, turn * 2, 2, hour=turn)
        if turn == 0:
            load(settings)
    lost = sealed(settings.collector_path)[1].path
    lost.rename(tmp_path / "kept.gz")
    loaded = load(settings)
    assert (loaded.total, loaded.quarantined) == (2, 1)
    (row,) = open_rows(settings, "collector")
    assert row.reason.startswith("records 3 to 4 of the log are missing")
    (tmp_path / "kept.gz").rename(lost)
    assert load(settings).total == 0
    for expected in (2, 0):
        with writer_lock(settings):
            assert replay_log(settings, "2026-03-01T00:00:00.000Z", "2026-03-02T00:00:00.000Z").total == expected
    assert sorted(landed(settings)) == [f"m{n}" for n in range(6)]
    write(settings, 6, 1)
    assert load(settings).total == 1, "a replay does not move what was landed up to"


def test_a_replay_keeps_to_its_period(settings: Settings) -> None:
    for turn in range(3):
        write(settings, turn, 1, hour=turn)
    load(settings)
    with writer_lock(settings), reading(settings, live=True):
        pass
    import duckdb

    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute("delete from raw.collector__events")
    with writer_lock(settings):
        assert replay_log(settings, "2026-03-01T01:00:00.000Z", "2026-03-01T02:00:00.000Z").total == 1
    assert landed(settings) == ["m1"]


def test_an_older_copy_of_the_log_is_refused(settings: Settings, tmp_path: Path) -> None:
    write(settings, 0, 2)
    shutil.copytree(settings.collector_path, tmp_path / "backup")
    write(settings, 2, 2)
    load(settings)
    shutil.rmtree(settings.collector_path)
    (tmp_path / "backup").rename(settings.collector_path)
    with pytest.raises(CdpError) as error:
        load(settings)
    assert "ends before record 5" in str(error.value)
    assert "put the newer copy back" in str(error.value)


def test_a_new_log_has_numbers_of_its_own(settings: Settings) -> None:
    write(settings, 0, 2)
    load(settings)
    shutil.rmtree(settings.collector_path)
    write(settings, 2, 2)
    assert load(settings).total == 2
    assert landed(settings, "message_id, sequence") == [("m0", 1), ("m1", 2), ("m2", 1), ("m3", 2)]


def test_old_segments_may_be_removed_once_they_are_landed(settings: Settings) -> None:
    write(settings, 0, 2)
    load(settings)
    for segment in sealed(settings.collector_path):
        segment.path.unlink()
    write(settings, 2, 2)
    loaded = load(settings)
    assert (loaded.total, loaded.quarantined) == (2, 0)
    assert landed(settings, "sequence") == [1, 2, 3, 4]


def test_a_damaged_segment_stops_the_load_and_names_it(settings: Settings) -> None:
    write(settings, 0, 50)
    (segment,) = sealed(settings.collector_path)
    data = segment.path.read_bytes()
    segment.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CdpError) as error:
        load(settings)
    assert segment.path.name in str(error.value)
    segment.path.write_bytes(data)
    assert load(settings).total == 50


def test_the_same_records_make_the_same_bytes(settings: Settings, tmp_path: Path) -> None:
    write(settings, 0, 20)
    other = Settings(data_dir=tmp_path / "other", _env_file=None)
    write(other, 0, 20)
    one, two = (sealed(s.collector_path)[0].path.read_bytes() for s in (settings, other))
    assert one == two
    assert gzip.decompress(one).count(b"\n") == 20
    assert not live(settings.collector_path)


def test_events_are_sent_to_another_collector_once(
    settings: Settings, own_collector: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.collector.resending import resend

    write(settings, 0, 250)
    other = own_collector()
    for _ in range(2):
        period = ("2026-03-01T00:00:00.000Z", "2026-03-02T00:00:00.000Z")
        assert resend(settings.collector_path, other.url, "server-key", *period) == 250
    found = other.records()
    assert [r["messageId"] for r in found] == [f"m{n}" for n in range(250)]
    assert {r["timestamp"] for r in found} == {"2026-03-01T10:00:00.000Z"}, "a corrected time is not corrected again"
