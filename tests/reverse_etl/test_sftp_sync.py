"""CSV files on a real SFTP server."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import paramiko
import pytest

from cdp.errors import ConfigurationError
from demo.emulators.destinations import sftp
from reverse_etl import engine
from tests.reverse_etl.conftest import Project

AS_OF = "2026-03-01T00:00:00"
COLUMNS = {"segment": "varchar", "person_id": "varchar", "email_sha256": "varchar", "entered_at": "timestamp"}
SYNC = """
name: members
description: Members of the tests.
owner: tests
source: snd_sftp__segment_members
destination: sftp_csv
object: {object}
key: [segment, person_id]
mode: mirror
fields: {{segment: segment, person_id: person_id, email_sha256: email_sha256, entered_at: entered_at}}
consent_purpose: service
schedule: "0 3 * * *"
limits: {{max_change_percent: 100}}
options: {{folder: out/audiences, file: members.csv}}
"""


@pytest.fixture
def server(tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The server's root folder; the server runs in a thread with its own event loop."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    thread = threading.Thread(target=lambda: (loop.call_soon(ready.set), loop.run_forever()), daemon=True)
    thread.start()
    ready.wait()
    running = asyncio.run_coroutine_threadsafe(sftp.start(tmp_path, tmp_path / "emulators"), loop).result(30)
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    project.contract("snd_sftp__segment_members", COLUMNS, "service")
    yield tmp_path / "emulators" / "sftp"
    asyncio.run_coroutine_threadsafe(running.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=30)
    loop.close()


def want(project: Project, *rows: tuple[object, ...]) -> None:
    project.fill("snd_sftp__segment_members", COLUMNS, [(*row, None, None)[:4] for row in rows])


def tree(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_snapshot_holds_all_rows_and_is_replaced_only_when_one_changes(project: Project, server: Path) -> None:
    project.sync("members", SYNC.format(object="snapshot"))
    want(project, ("s", "p2", "ab"), ("s", "p1", None), ("冠军", 'a "quoted", one', "x\ny"))
    assert engine.run("members", project.settings, AS_OF).created == 3
    expected = 'email_sha256,entered_at,person_id,segment\n,,p1,s\nab,,p2,s\n"x\ny",,"a ""quoted"", one",冠军\n'
    assert tree(server) == {"out/audiences/members.csv": expected}
    written = (server / "out/audiences/members.csv").stat().st_mtime_ns
    assert engine.run("members", project.settings, AS_OF).sent == 0
    assert (server / "out/audiences/members.csv").stat().st_mtime_ns == written
    want(project, ("s", "p2", "ab"), ("t", "p9", "cd"))
    result = engine.run("members", project.settings, AS_OF)
    assert (result.created, result.deleted, result.unchanged) == (1, 2, 1)
    assert tree(server) == {
        "out/audiences/members.csv": "email_sha256,entered_at,person_id,segment\nab,,p2,s\ncd,,p9,t\n"
    }


def test_a_delta_holds_what_changed_and_is_named_for_its_content(project: Project, server: Path) -> None:
    project.sync("members", SYNC.format(object="delta"))
    want(project, ("s", "p1", "a"), ("s", "p2", "b"))
    engine.run("members", project.settings, AS_OF)
    want(project, ("s", "p1", "changed"), ("s", "p3", "c"))
    engine.run("members", project.settings, "2026-03-02T00:00:00")
    header = "operation,email_sha256,entered_at,person_id,segment\n"
    contents = list(tree(server).values())
    assert sorted(contents) == sorted(
        [
            header + "upsert,a,,p1,s\nupsert,b,,p2,s\n",
            header + "upsert,changed,,p1,s\nupsert,c,,p3,s\n",
            header + "delete,b,,p2,s\n",
        ]
    )
    for name, content in tree(server).items():
        assert hashlib.sha256(content.encode()).hexdigest()[:12] in name


def test_a_server_with_another_key_is_not_talked_to(
    project: Project, server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.sync("members", SYNC.format(object="snapshot"))
    want(project, ("s", "p1", "a"))
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    with monkeypatch.context() as wrong:
        wrong.setenv("CDP_SFTP_CSV__HOST_KEY", other)
        with pytest.raises(ConfigurationError, match="another than the one expected"):
            engine.run("members", project.settings, AS_OF)
        wrong.setenv("CDP_SFTP_CSV__HOST_KEY", "ssh-ed25519 not-base64!")
        with pytest.raises(ConfigurationError, match="CDP_SFTP_CSV__HOST_KEY cannot be read"):
            engine.run("members", project.settings, AS_OF)
    with monkeypatch.context() as wrong:
        wrong.setenv("CDP_SFTP_CSV__PASSWORD", "wrong")
        with pytest.raises(ConfigurationError, match="refuses the login"):
            engine.run("members", project.settings, AS_OF)
    assert tree(server) == {}
    assert engine.run("members", project.settings, AS_OF).created == 1


def test_a_broken_upload_leaves_the_old_file_and_the_next_run_replaces_it(
    project: Project, server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.sync("members", SYNC.format(object="snapshot"))
    want(project, ("s", "p1", "old"))
    engine.run("members", project.settings, AS_OF)
    before = tree(server)
    want(project, ("s", "p1", "new"))
    with monkeypatch.context() as broken:
        broken.setattr(paramiko.SFTPClient, "posix_rename", _lose_connection)
        result = engine.run("members", project.settings, AS_OF)
    assert (result.in_doubt, result.ok) == (1, False), "nobody knows whether the server had renamed it"
    assert tree(server)["out/audiences/members.csv"] == before["out/audiences/members.csv"]
    again = engine.run("members", project.settings, AS_OF)
    assert (again.updated, again.resent) == (1, 1)
    assert list(tree(server)) == ["out/audiences/members.csv"], "the unfinished file was renamed into place"
    assert ",p1,s" in tree(server)["out/audiences/members.csv"]
    assert "new" in tree(server)["out/audiences/members.csv"]


def _lose_connection(*_: object) -> None:
    raise EOFError
