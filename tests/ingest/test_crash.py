"""Runs that are killed or fail: after the next run everything is there once, numbered in the order of landing."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from cdp.errors import CdpError, ConfigurationError, RunError
from ingest.pipeline import run_source
from tests.ingest.conftest import Project
from tests.ingest.dying import MOMENTS, run_with_little_room, start

SOURCE = """
tables:
  first: {description: a, files: "first*.jsonl", format: jsonl, required: [id], columns: {id: bigint}}
  second: {description: b, files: "second*.csv", format: csv, required: [id], columns: {id: bigint, extra: text}}
"""
OTHER = """
tables:
  rows: {description: a, files: "other*.jsonl", format: jsonl, columns: {id: bigint}}
"""


def drop_part(project: Project, part: int) -> None:
    """Some rows of both tables, with a new column and a bad row in each part."""
    rows = [{"id": part * 1000 + n, f"new_{part:02}": n} for n in range(100)]
    project.drop(f"first-{part}.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "{bad\n")
    project.drop(
        f"second-{part}.csv", "id,extra\n" + "".join(f"{part * 1000 + n},x\n" for n in range(100)) + f"bad{part},y\n"
    )


def check_complete(project: Project, parts: int) -> None:
    """Everything once, nothing else, numbers unique and in the order of landing."""
    expected = sorted(part * 1000 + n for part in range(parts) for n in range(100))
    assert sorted(project.values("src__first", "id")) == expected
    assert sorted(project.values("src__second", "id")) == expected
    assert len(project.open_rows()) == 2 * parts
    changes = project.query("select column_name, change from raw.raw_schema_change where source = 'src' order by 1")
    words = ["undeclared column"] + ["new column"] * parts
    assert changes == [(f"new_{part:02}", words[part]) for part in range(parts)]
    tables = ("src__first", "src__second", "other__rows", "raw_quarantine", "raw_schema_change")
    numbered = project.query(" union all ".join(f"select _cdp_sequence, _dlt_load_id from raw.{t}" for t in tables))
    assert len({n for n, _ in numbered}) == len(numbered)
    assert {load for _, load in numbered} <= {
        load for (load,) in project.query("select load_id from raw._dlt_loads where status = 0")
    }


def run_and_die(project: Project, moment: str) -> None:
    """A run in a process of its own, killed at the moment."""
    process = start(project.settings, "src", moment)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL, moment


def test_a_run_killed_at_any_moment_is_made_up_for(project: Project) -> None:
    """Moment after moment in one project: what one kill leaves must not get in the way of the next."""
    source, other = project.declare("src", SOURCE), project.declare("other", OTHER)
    drop_part(project, 0)
    project.load(source)
    parts = 1
    for number, moment in enumerate(MOMENTS):
        drop_part(project, parts)
        run_and_die(project, moment)
        project.drop(f"other-{number}.jsonl", f'{{"id": {number}}}\n')
        project.load(other)  # another source lands meanwhile
        drop_part(project, parts + 1)  # and the world goes on
        project.load(source)
        check_complete(project, parts + 2)
        ((between,),) = project.query("select max(_cdp_sequence) from raw.other__rows")
        ((first,),) = project.query(f"select min(_cdp_sequence) from raw.src__first where id >= {parts * 1000}")
        counted = moment in ("once the load counts", "before dlt is done")
        assert (first < between) if counted else (first > between), f"{moment}: numbers follow the order of landing"
        parts += 2
    assert project.load(source).total == 0


def test_killed_on_the_first_run_ever(project: Project) -> None:
    source = project.declare("src", SOURCE)
    project.load(project.declare("other", OTHER))
    drop_part(project, 0)
    run_and_die(project, "after the first job")
    assert project.load(source).recovered
    check_complete(project, 1)


def _names(folder: Path) -> set[str]:
    """What is in a folder, which the other process may be removing."""
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return set()


def test_killed_at_random_moments_until_it_gets_through(project: Project) -> None:
    """Moments nobody thought of: a real `kill -9` from outside, again and again."""
    seed = random.Random("kill").randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    source = project.declare("src", SOURCE)
    project.load(project.declare("other", OTHER))
    folder = project.settings.path("dlt", "tributary_src", "normalize")
    for part in range(4):
        drop_part(project, part)
        before = _names(folder)
        process = start(project.settings, "src")
        end = time.monotonic() + 60  # wait until it works in dlt's folder, then a random while longer
        while process.is_alive() and time.monotonic() < end and _names(folder) <= before:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.5)
        process.kill()
        process.join()
    project.load(source)
    expected = sorted(part * 1000 + n for part in range(4) for n in range(100))
    assert sorted(project.values("src__first", "id")) == expected
    assert sorted(project.values("src__second", "id")) == expected
    assert len(project.open_rows()) == 8
    assert project.load(source).total == 0


def test_an_error_in_the_second_table_leaves_nothing_of_the_first(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = project.declare("src", SOURCE)
    project.load(project.declare("other", OTHER))
    drop_part(project, 0)
    project.load(source)
    drop_part(project, 1)
    import ingest.files

    def fail(*_: object) -> None:
        raise MemoryError("secret row: alice@example.com")

    with monkeypatch.context() as patch:
        patch.setattr(ingest.files, "csv_relation", fail)
        with pytest.raises(RunError) as caught:
            project.load(source)
    assert "alice" not in caught.value.render()
    check_complete(project, 1)
    project.load(source)
    check_complete(project, 2)


def test_an_error_in_the_load_leaves_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlt.destinations.impl.duckdb.duck import DuckDbCopyJob

    source = project.declare("src", SOURCE)
    project.load(project.declare("other", OTHER))
    drop_part(project, 0)
    project.load(source)
    drop_part(project, 1)
    real, calls = DuckDbCopyJob.run, []

    def fail(self: DuckDbCopyJob) -> None:
        real(self)  # the rows are in, and then the job fails for good
        calls.append(1)
        if len(calls) == 2:
            import duckdb

            raise duckdb.IOException('Could not write to file "x": No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(DuckDbCopyJob, "run", fail)
        with pytest.raises(ConfigurationError, match="no room left"):
            project.load(source)
    check_complete(project, 1)
    project.load(source)
    check_complete(project, 2)


def test_the_warehouse_decides_what_was_landed(project: Project) -> None:
    """A warehouse that was deleted, or put back from yesterday's copy, is filled again; a lost working folder is no loss."""
    source, other = project.declare("src", SOURCE), project.declare("other", OTHER)
    project.drop("other-0.jsonl", '{"id": 1}\n')
    drop_part(project, 0)
    project.load(source)
    project.load(other)
    yesterday = project.folder / "yesterday.duckdb"
    shutil.copy(project.settings.warehouse_path, yesterday)
    drop_part(project, 1)
    project.load(source)

    shutil.copy(yesterday, project.settings.warehouse_path)
    assert project.load(source).rows == {"first": 100, "second": 100}
    check_complete(project, 2)

    shutil.rmtree(project.settings.path("dlt"))
    assert project.load(source).total == 0
    drop_part(project, 2)
    assert project.load(source).rows == {"first": 100, "second": 100}
    check_complete(project, 3)

    project.settings.warehouse_path.unlink()
    project.load(other)  # the other source makes the warehouse anew
    assert project.load(source).rows == {"first": 300, "second": 300}
    assert project.load(source).total == 0

    project.settings.path("sequence").unlink()
    ((highest,),) = project.query(
        "select max(n) from (select max(_cdp_sequence) n from raw.src__first union all select max(_cdp_sequence) from raw.raw_quarantine)"
    )
    drop_part(project, 3)
    project.load(source)
    ((after,),) = project.query("select min(_cdp_sequence) from raw.src__first where id >= 3000")
    assert after > highest


def test_a_full_disk_and_a_folder_without_rights(project: Project) -> None:
    """A process that may write only so much, and one that may write nothing, say so; the next run completes."""
    source = project.declare("src", SOURCE)
    project.load(project.declare("other", OTHER))
    project.drop("first-0.jsonl", "".join(json.dumps({"id": n, "text": f"{n:0200}"}) + "\n" for n in range(30000)))
    codes = []
    for limit in (100_000, 400_000, 3_000_000):  # full while reading, while handing over, while loading
        code, message = run_with_little_room(project.settings, "src", limit)
        codes.append(code)
        assert (code == 3 and "there is no room left to write" in message) or message == "landed 30000", message
    assert codes[0] == 3
    project.load(source)
    assert sorted(project.values("src__first", "id")) == list(range(30000))

    for folder in (project.landing / "first-0.jsonl" / "data", project.folder / "locked"):
        if not folder.parent.is_file():
            folder.mkdir(mode=0o500)
            if os.geteuid() == 0:  # root may write anywhere
                continue
        with pytest.raises(ConfigurationError):
            run_source(source, project.settings.model_copy(update={"data_dir": folder}))


def test_an_unreadable_sequence_is_told(project: Project) -> None:
    source = project.declare("src", SOURCE)
    drop_part(project, 0)
    project.settings.path("sequence").parent.mkdir(parents=True)
    project.settings.path("sequence").write_text("what?")
    with pytest.raises(CdpError, match="holds no number"):
        project.load(source)
