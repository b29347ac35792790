"""The background process behind `cdp world up`, `status` and `down`, and the commands themselves."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cdp.errors import BusyError, ConfigurationError
from demo.emulators import process
from demo.emulators.server import Places, modules, serve
from tests import commands

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def places(world: Path, tmp_path: Path) -> Iterator[Places]:
    """A data directory of its own, whose server is ended."""
    found = Places(world, tmp_path / "data")
    yield found
    process.down(found)


def test_up_serves_every_emulator_and_down_leaves_nothing(places: Places) -> None:
    running, is_new = process.up(places)
    assert is_new
    assert set(running.emulators) == set(modules()) >= {"crm", "wechat_oa", "support"}
    assert process.up(places) == (running, False), "a second up finds the first"

    lines = dict(line.split("=", 1) for line in places.env_path.read_text(encoding="utf-8").splitlines())
    assert stat.S_IMODE(places.env_path.stat().st_mode) == 0o600
    assert lines["CDP_CRM__BASE_URL"] == f"{running.base_url}/crm"
    control = f"{running.base_url}/crm/_control"
    httpx.post(control, json={}, trust_env=False).raise_for_status()
    url = f"{lines['CDP_CRM__BASE_URL']}/v1/leads"
    leads = httpx.get(url, headers={"Authorization": f"Bearer {lines['CDP_CRM__TOKEN']}"}, trust_env=False)
    assert leads.json()["results"]
    with pytest.raises(BusyError, match="another server is running"):
        serve(places)

    assert process.down(places) == running.pid
    assert not places.env_path.exists()
    assert process.status(places) is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(control, trust_env=False)
    assert process.down(places) is None


def test_a_killed_server_is_not_taken_for_a_running_one(places: Places) -> None:
    running, _ = process.up(places)
    os.kill(running.pid, 9)
    os.waitpid(running.pid, 0)
    assert places.server_path.exists(), "kill -9 leaves the file behind"
    assert process.status(places) is None
    again, is_new = process.up(places)
    assert is_new
    assert again.pid != running.pid


def test_up_without_a_world_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cdp world generate"):
        process.up(Places(tmp_path / "nothing", tmp_path / "data"))


def cdp(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `cdp world ...`."""
    return commands.cdp("world", *arguments, folder=ROOT, environment={**os.environ, "CDP_DATA_DIR": str(data_dir)})


def test_commands_print_json_and_leave_with_their_exit_code(tmp_path: Path) -> None:
    made = cdp(tmp_path, "generate", "--persons", "40", "--days", "4", "--seed", "2", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["arguments"] == {"persons": 40, "days": 4, "seed": 2, "horizon": 4}
    grown = cdp(tmp_path, "advance", "--json")
    assert json.loads(grown.stdout)["as_of"].startswith("2026-01-06")
    assert (tmp_path / "world" / "sources" / "nps" / "answers-2026-01-05.jsonl").exists()

    wrong = cdp(tmp_path, "generate", "--persons", "0")
    assert wrong.returncode == 1
    assert "--persons" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    down = cdp(tmp_path, "status", "--json")
    assert (down.returncode, json.loads(down.stdout)) == (1, {"running": False})
    shutil.rmtree(tmp_path / "world")
    missing = cdp(tmp_path, "advance")
    assert missing.returncode == 3
    assert "cdp world generate" in missing.stderr


@pytest.mark.parametrize("command", ["generate", "advance", "up", "down", "status", "serve"])
def test_every_command_shows_an_example(tmp_path: Path, command: str) -> None:
    shown = cdp(tmp_path, command, "--help")
    assert shown.returncode == 0
    assert f"Example: cdp world {command}" in " ".join(shown.stdout.split())
