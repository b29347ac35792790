"""The live view shows every record once and nothing of a person, also while segments are closed under it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cdp.settings import PROJECT_ROOT
from ingest.collector.looking import figures, follow, masked, newest
from tests.collector.running import Running

SECRET = "lena.secret@example.com"


def send(collector: Running, first: int, count: int) -> None:
    """Send events e<first>.., each with something of a person in every place."""
    for number in range(first, first + count):
        traits = {"email": SECRET, "phone": "13800138000"}
        event = {
            "event": "E",
            "messageId": f"e{number}",
            "userId": SECRET,
            "properties": {"note": SECRET},
            "traits": traits,
        }
        assert collector.post("/v1/t", event).status_code == 200


def test_every_record_is_followed_once(own_collector: Callable[..., Running]) -> None:
    collector = own_collector(CDP_COLLECTOR_ROTATE_SECONDS="0.05")
    send(collector, 0, 5)
    following = follow(collector.folder, 3)
    seen = [next(following)["messageId"] for _ in range(3)]
    for turn in range(5):
        send(collector, 5 + turn * 4, 4)
        seen += [next(following)["messageId"] for _ in range(4)]
    assert seen == [f"e{n}" for n in range(2, 25)]
    assert [r["messageId"] for r in newest(collector.folder, 7)] == [f"e{n}" for n in range(18, 25)]


def test_nothing_of_a_person_is_shown(own_collector: Callable[..., Running]) -> None:
    collector = own_collector()
    send(collector, 0, 2)
    collector.post("/v1/t", {"event": ["E"], "userId": SECRET})
    shown = [masked(record) for record in newest(collector.folder, 10)]
    assert len(shown) == 3
    assert SECRET not in json.dumps(shown)
    assert shown[0]["user"] == "xxxx.xxxxxx@xxxxxxx.xxx"
    assert shown[0]["fields"] == "note"


def test_the_commands(own_collector: Callable[..., Running], tmp_path: Path) -> None:
    collector = own_collector()
    send(collector, 0, 3)
    collector.post("/v1/t", {"userId": "u"})
    assert collector.stop() == 0
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CDP_")} | {
        "CDP_DATA_DIR": str(collector.data)
    }

    def cdp(*arguments: str, data: Path = collector.data) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "cdp"), "collector", *arguments]
        env = environment | {"CDP_DATA_DIR": str(data)}
        return subprocess.run(command, cwd=PROJECT_ROOT, env=env, capture_output=True, text=True, timeout=300)

    tail = cdp("tail", "--no-follow", "--json").stdout.splitlines()
    assert [json.loads(line)["kind"] for line in tail] == ["track", "track", "track", "set aside"]
    stats = json.loads(cdp("stats", "--json", "--from", "2020-01-01").stdout)
    assert [(f["source"], f["kind"], f["name"], f["records"]) for f in stats] == [
        ("web", "track", "E", 3),
        ("web", "set aside", "event: a track event needs a name", 1),
    ]
    assert figures(collector.folder, "2999-01-01", "") == []
    landed = cdp("replay", "--from", "2020-01-01", "--to", "2999-01-01", "--json")
    assert json.loads(landed.stdout) == {"landed": 3, "quarantined": 1}
    again = cdp("replay", "--from", "2020-01-01", "--to", "2999-01-01", "--json")
    assert json.loads(again.stdout) == {"landed": 0, "quarantined": 0}
    wrong = cdp("replay", "--from", "yesterday", "--to", "2999-01-01")
    assert (wrong.returncode, "is not a time" in wrong.stderr) == (2, True)
    nothing = cdp("tail", "--no-follow", data=tmp_path / "empty")
    assert (nothing.returncode, "cdp collector serve" in nothing.stderr) == (3, True)
    assert cdp("token", "web").returncode == 3
