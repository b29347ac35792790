"""`cdp quarantine`: what could not be read is listed, exported, corrected and landed once, through the command itself."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cdp.cli import app
from cdp.errors import CdpError
from cdp.settings import get_settings
from cdp.sources import Source
from tests.ingest.conftest import Project

SALES = """
tables:
  sales:
    description: Sales.
    files: "sales*.csv*"
    format: csv
    delimiter: ";"
    required: [number, amount]
    columns: {number: text, amount: double, email: text}
  events:
    description: Events.
    files: "events*.jsonl"
    format: jsonl
    required: [id]
    columns: {id: bigint, at: timestamp}
"""
Command = Callable[..., Result]


@pytest.fixture
def command(project: Project, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`cdp ...` in the project of the test, with the exit code it would have."""
    for name in ("project_root", "data_dir", "landing_dir"):
        monkeypatch.setenv(f"CDP_{name.upper()}", str(getattr(project.settings, name)))
    monkeypatch.setenv("CDP_LOCK_TIMEOUT", "1")
    get_settings.cache_clear()

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, ["quarantine", *arguments])
        if isinstance(result.exception, CdpError):
            result.exit_code = result.exception.exit_code
        elif result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    yield run
    get_settings.cache_clear()


def dirty(project: Project) -> Source:
    """A source with two good rows, five bad ones and a bad file."""
    source = project.declare("till", SALES)
    project.drop(
        "sales.csv", 'number;amount;email\nA;1.5;alice@example.com\nB;two;bob@example.com\nC;3\n"D;4;dora@example.com\n'
    )
    project.drop("events.jsonl", '{"id": 1}\n{"id": "x1", "email": "erin@example.com"}\n{"id": 7\n')
    project.drop("sales-2.csv", "what;is;this\n1;2;3\n")
    project.load(source)
    return source


def test_listing_shows_shapes_and_exports_texts(project: Project, command: Command) -> None:
    assert command("list").exit_code == 3  # no warehouse yet
    dirty(project)
    shown = command("list")
    assert shown.exit_code == 0
    assert "6 open rows" in shown.output
    for name in ("alice", "bob", "dora", "erin", "example.com"):
        assert name not in shown.output
    assert "xxx" in shown.output
    path = project.folder / "rows.jsonl"
    listed = json.loads(command("list", "--source", "till", "--json", "--export", str(path)).output)
    assert listed["open"] == 6
    assert "bob@example" not in json.dumps(listed)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(r["table_name"], r["position"], r["original"]) for r in rows] == [
        ("sales", 0, "sales-2.csv"),
        ("sales", 3, "B;two;bob@example.com"),
        ("sales", 4, "C;3"),
        ("sales", 5, '"D;4;dora@example.com'),
        ("events", 2, '{"id": "x1", "email": "erin@example.com"}'),
        ("events", 3, '{"id": 7'),
    ]
    assert command("list", "--export", str(path)).exit_code == 2, "an export is never overwritten"
    assert command("list", "--source", "tilt").exit_code == 2


def test_corrected_rows_land_once_in_their_place(project: Project, command: Command) -> None:
    source = dirty(project)
    path = project.folder / "rows.jsonl"
    command("list", "--export", str(path))
    texts = {
        "B;two;bob@example.com": "B;2;bob@example.com",
        '"D;4;dora@example.com': '"D\n4";4;dora@example.com',
        '{"id": "x1", "email": "erin@example.com"}': '{"id": 11,\n "newOne": 5}',
        '{"id": 7': None,
        "C;3": "C;3;c;d",
    }
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["original"] = texts.get(row["original"], row["original"])
    path.write_text("\n".join(json.dumps(row) for row in rows))
    before = project.values("till__sales", "_cdp_sequence") + project.values("till__events", "_cdp_sequence")

    done = command("replay", str(path), "--json")
    assert done.exit_code == 1
    outcome = json.loads(done.output)
    assert (outcome["replayed"], outcome["discarded"], outcome["closed_before"]) == (3, 1, 0)
    assert sorted(u["reason"] for u in outcome["unreadable"]) == [
        "a whole file: mend the file itself, the next run reads it",
        "has 4 values, the header names 3 columns",
    ]
    assert project.query(
        "select number, amount, _cdp_origin, _cdp_row from raw.till__sales order by _cdp_sequence"
    ) == [
        ("A", 1.5, "sales.csv", 2),
        ("B", 2.0, "sales.csv", 3),
        ("D\n4", 4.0, "sales.csv", 5),
    ]
    assert project.query("select id, new_one, _cdp_origin, _cdp_row from raw.till__events order by _cdp_sequence") == [
        (1, None, "events.jsonl", 1),
        (11, 5, "events.jsonl", 2),
    ]
    after = project.values("till__sales", "_cdp_sequence") + project.values("till__events", "_cdp_sequence")
    assert min(set(after) - set(before)) > max(before)
    assert project.query("select outcome, count(*) from raw.raw_quarantine_replay group by 1 order by 1") == [
        ("discarded", 1),
        ("replayed", 3),
    ]
    assert project.query("select count(*) from raw.raw_schema_change where column_name = 'new_one'") == [(1,)]

    again = json.loads(command("replay", str(path), "--json").output)
    assert (again["replayed"], again["discarded"], again["closed_before"]) == (0, 0, 4)
    assert len(project.values("till__sales", "number")) == 3
    assert project.load(source).total == 0
    assert {row[:2] for row in project.open_rows()} == {("sales.csv", 4), ("sales-2.csv", 0)}


def test_rows_are_tried_again_as_they_are_after_the_declaration_was_corrected(
    project: Project, command: Command
) -> None:
    dirty(project)
    assert command("replay").exit_code == 1
    assert len(project.open_rows()) == 6
    corrected = (
        SALES.replace("amount: double", "amount: text")
        .replace("{id: bigint", "{id: text")
        .replace("required: [number, amount]", "required: []")
    )
    corrected = corrected.replace("email: text}", "email: text, what: text}")
    source = project.declare("till", corrected)
    done = command("replay", "--source", "till")
    assert done.exit_code == 1  # what is no row of three values, or no JSON, stays
    assert project.query("select number, amount from raw.till__sales where number in ('A', 'B') order by 1") == [
        ("A", "1.5"),
        ("B", "two"),
    ]
    assert project.values("till__sales", "what")[-1] == "1", "the whole file was read, too"
    assert {row[:2] for row in project.open_rows()} == {("sales.csv", 4), ("sales.csv", 5), ("events.jsonl", 3)}
    assert project.load(source).total == 0


def test_rows_in_another_encoding_are_read_when_it_is_declared(project: Project, command: Command) -> None:
    text = "number;amount;email\nA;1;ok\n王;2;x\n"
    project.load(project.declare("till", SALES))
    project.drop("sales.csv", text.encode("gb18030"))
    project.load(project.declare("till", SALES))
    assert [(p, r) for _, p, r, _ in project.open_rows()] == [(3, "is not utf-8")]
    project.declare("till", SALES.replace('files: "sales*.csv*"', 'files: "sales*.csv*"\n    encoding: gb18030'))
    assert command("replay").exit_code == 0
    assert project.values("till__sales", "number") == ["A", "王"]


def test_the_beginning_of_a_long_line_is_never_taken_for_the_row(project: Project, command: Command) -> None:
    project.load(project.declare("till", SALES))
    project.drop("sales.csv", b"number;amount;email\nA;1;" + b"x" * 40_000_000 + b"\nB;2;y\n")
    project.load(project.declare("till", SALES))
    assert command("replay").exit_code == 1
    path = project.folder / "rows.jsonl"
    command("list", "--export", str(path))
    assert command("replay", str(path)).exit_code == 1
    row = json.loads(path.read_text())
    assert row["original"].startswith("A;1;xxx")
    path.write_text(json.dumps(row | {"original": "A;1;short"}))
    assert command("replay", str(path)).exit_code == 0
    assert sorted(project.values("till__sales", "number")) == ["A", "B"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json\n", "is not a row of an export"),
        ('{"quarantine_key": "x"}\n', "is not a row of an export"),
        ('{"quarantine_key": "nobody", "original": "a"}\n', 'no row was set aside under "nobody"'),
        ('{"quarantine_key": "a", "original": "a"}\n' * 2, '"a" stands there twice'),
    ],
)
def test_files_that_are_no_export(project: Project, command: Command, text: str, message: str) -> None:
    dirty(project)
    path = project.drop("../rows.jsonl", text)
    failed = command("replay", str(path))
    assert failed.exit_code == 2
    assert message in str(failed.exception)
    assert command("replay", str(project.folder / "missing.jsonl")).exit_code == 2


def test_a_replay_waits_for_the_writer_and_then_gives_up(project: Project, command: Command) -> None:
    from multiprocessing import get_context

    dirty(project)
    context = get_context("forkserver")
    held, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(project.settings.path("writer.lock"), held, done))
    process.start()
    assert held.wait(60)
    assert command("replay").exit_code == 4
    done.set()
    process.join(60)
    assert command("replay").exit_code == 1


def _hold(path: Path, held: Any, done: Any) -> None:
    from filelock import FileLock

    with FileLock(str(path)):
        held.set()
        done.wait(60)
