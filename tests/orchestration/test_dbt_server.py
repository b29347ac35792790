"""dbt's calls through the server of a run: answers, exit codes and endings are those of dbt's own executable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdp.settings import PROJECT_ROOT, Settings
from orchestration import dbt_server
from orchestration.dbt_client import SERVER
from tests.dbt_project import PROJECT

pytestmark = pytest.mark.skipif(not dbt_server.AVAILABLE, reason="forks of a loaded process are only safe on Linux")
BIN = Path(sys.executable).parent
# asks the warehouse for as long as it is let: a call that is under way
ENDLESS = ["show", "--inline", "select count(*) from range(100000000) a, range(100000000) b", "--quiet"]


def small_project(folder: Path) -> Settings:
    """A dbt project of one seed and one model, below a root of its own."""
    for name, text in PROJECT.items():
        path = folder / "dbt_project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Settings(_env_file=None, project_root=folder, data_dir=folder / "data")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A small project and a server for it."""
    settings = small_project(tmp_path_factory.mktemp("site"))
    settings.path("dbt").mkdir(parents=True)
    with dbt_server.running(settings):
        server = dbt_server.current()
        assert server is not None
        code, output = server.parsed()
        assert code == 0, output
        yield settings


def begin(settings: Settings, *arguments: str, program: str = "cdp-dbt") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(BIN / program), *arguments], cwd=settings.dbt_dir, text=True,
        env={**os.environ, **settings.dbt_environment()}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def fork_under_way() -> int:
    """The process that works on a call: a child of the server that is the same program as the server."""
    server = dbt_server.current()
    assert server is not None
    program = Path(f"/proc/{server._process.pid}/cmdline").read_bytes()
    children = Path(f"/proc/{server._process.pid}/task/{server._process.pid}/children")

    def forks() -> list[int]:
        return [int(c) for c in children.read_text().split() if Path(f"/proc/{c}/cmdline").read_bytes() == program]

    until(lambda: bool(forks()))
    return forks()[0]


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_answers_are_dbts(settings: Settings) -> None:
    arguments = ("--quiet", "ls", "--select", "one", "--output", "json", "--resource-type", "model")
    through, plain = begin(settings, *arguments), begin(settings, *arguments, program="dbt")
    told, expected = through.communicate(timeout=120)[0], plain.communicate(timeout=120)[0]
    assert told == expected and '"one"' in told
    assert through.returncode == plain.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code"), [(["ls", "--no-such-option"], 2), (["build", "--select", "s"], 0), (["run-operation", "none_such"], 2)]
)  # fmt: skip
def test_exit_codes(settings: Settings, arguments: list[str], code: int) -> None:
    process = begin(settings, *arguments)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code, output


def test_a_signal_reaches_dbt_and_a_killed_caller_leaves_nothing_behind(settings: Settings) -> None:
    told = begin(settings, *ENDLESS)
    child = fork_under_way()
    told.send_signal(signal.SIGTERM)
    assert told.wait(timeout=60) != 0
    until(lambda: gone(child))
    killed = begin(settings, *ENDLESS)
    child = fork_under_way()
    killed.kill()
    killed.wait(timeout=60)
    until(lambda: gone(child))


def test_without_a_server_it_is_dbt(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SERVER)
    process = begin(settings, "ls", "--no-such-option")
    assert "--no-such-option" in process.communicate(timeout=120)[0]
    assert process.returncode == 2


def test_the_server_ends_with_what_started_it(tmp_path: Path) -> None:
    small_project(tmp_path)
    script = (
        "import time, sys; from pathlib import Path; from cdp.settings import Settings; from orchestration import dbt_server\n"
        "settings = Settings(_env_file=None, project_root=Path(sys.argv[1]), data_dir=Path(sys.argv[1]) / 'data')\n"
        "dbt_server.start(settings); print(dbt_server.current()._process.pid, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None
    server = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    until(lambda: gone(server))
