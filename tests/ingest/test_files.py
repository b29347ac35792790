"""Files: what is new is read once, whatever becomes of the files meanwhile."""

from __future__ import annotations

import gzip
import os
import random
import sys

import duckdb
import pytest

from cdp.errors import ConfigurationError
from ingest.pipeline import run_source
from ingest.status import has_new_data
from tests.ingest.conftest import Project

EVENTS = """
tables:
  events:
    description: Events.
    files: events*.jsonl
    format: jsonl
    required: [id]
    columns: {id: text, at: timestamp}
"""
SALES = """
tables:
  sales:
    description: Sales.
    files: "sales*.csv"
    format: csv
    delimiter: ";"
    decimal_comma: true
    required: [number, amount]
    columns: {number: text, amount: double}
"""


def line(n: int) -> str:
    return f'{{"id": "{n}", "at": "2026-01-01T00:00:00Z"}}\n'


def lines(*numbers: int) -> str:
    return "".join(map(line, numbers))


def test_unchanged_copied_grown_and_changed_files(project: Project) -> None:
    source = project.declare("log", EVENTS)
    path = project.drop("events-1.jsonl", lines(1, 2))
    assert project.load(source).rows == {"events": 2}
    assert not has_new_data(source, project.settings)
    assert project.load(source).total == 0

    os.utime(path, (1, 1))  # touched: looked at, not read
    assert project.load(source).total == 0
    project.drop("events-copy.jsonl", lines(1, 2))
    assert project.load(source).total == 0
    assert not has_new_data(source, project.settings)

    project.drop("events-1.jsonl", lines(1, 2, 3))
    assert has_new_data(source, project.settings)
    assert project.load(source).rows == {"events": 1}
    project.drop("events-copy.jsonl", lines(1, 2, 4))  # the copy grows from where its original was then
    assert project.load(source).rows == {"events": 1}

    project.drop("events-1.jsonl", lines(7, 2, 3))  # changed: whole, and so again when it changes back
    assert project.load(source).rows == {"events": 3}
    project.drop("events-1.jsonl", lines(1, 2, 3))
    assert project.load(source).rows == {"events": 3}
    assert project.values("log__events", "id") == ["1", "2", "3", "4", "7", "2", "3", "1", "2", "3"]
    assert project.values("log__events", "_cdp_row") == [1, 2, 3, 3, 1, 2, 3, 1, 2, 3]
    assert project.load(source).total == 0


def test_a_rotated_log_is_read_on_under_its_new_name(project: Project) -> None:
    source = project.declare("log", EVENTS.replace("events*.jsonl", "events.*"))
    path = project.drop("events.log", lines(*range(5)))
    project.load(source)
    with path.open("a") as file:
        file.write(lines(5, 6))
    path.rename(path.with_name("events.log.1"))
    project.drop("events.log", lines(7))
    assert project.load(source).rows == {"events": 3}
    assert sorted(project.values("log__events", "id")) == [str(n) for n in range(8)]


@pytest.mark.parametrize("cut", [3, 20, len(line(2)) - 1])
def test_a_torn_line_is_landed_once_it_is_whole(project: Project, cut: int) -> None:
    """Cut anywhere in its last line, also right before the line's end, where it is whole already."""
    source = project.declare("log", EVENTS)
    project.drop("events.jsonl", line(1) + line(2)[:cut])
    first = project.load(source)
    whole = cut == len(line(2)) - 1
    assert first.rows == {"events": 2 if whole else 1}
    assert [(r[0], r[1]) for r in project.open_rows()] == ([] if whole else [("events.jsonl", 2)])
    project.drop("events.jsonl", lines(1, 2, 3))
    second = project.load(source)
    assert project.values("log__events", "id") == ["1", "2", "3"]
    assert project.values("log__events", "_cdp_row") == [1, 2, 3]
    assert (project.open_rows(), second.completed) == ([], 0 if whole else 1)


def test_a_torn_csv_row_is_corrected_when_the_file_grows(project: Project) -> None:
    source = project.declare("till", SALES)
    text = 'number;amount\nA;1,50\n"B\n2";2,00\nC;12,95\nD;4,00\n'
    landed, quarantined = [], []
    for cut in (17, 34, 36, 42, len(text)):  # A;1 | C; | C;12 | D;
        project.drop("sales.csv", text[:cut])
        project.load(source)
        landed.append(project.values("till__sales", "number"))
        quarantined.append([r[1] for r in project.open_rows()])
    # "A;1" and "C;12" look whole, so they land, and once more when they turn out to be longer: later versions win
    assert landed == [
        ["A"],
        ["A", "A", "B\n2"],
        ["A", "A", "B\n2", "C"],
        ["A", "A", "B\n2", "C", "C"],
        ["A", "A", "B\n2", "C", "C", "D"],
    ]
    assert quarantined == [[], [5], [], [6], []]
    assert project.values("till__sales", "amount") == [1.0, 1.5, 2.0, 12.0, 12.95, 4.0]
    assert project.values("till__sales", "_cdp_row") == [2, 2, 3, 5, 5, 6]


def test_growing_byte_by_byte_loses_and_doubles_nothing(project: Project) -> None:
    """JSON lines cut at random places, several times: every line lands once, every torn one is closed."""
    seed = random.Random(20260101).randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    source = project.declare("log", EVENTS)
    text = "".join(line(n) if rng.random() < 0.9 else "\n" for n in range(60))
    at = 0
    while at < len(text):
        at = min(len(text), at + rng.randint(1, 600))
        project.drop("events.jsonl", text[:at])
        project.load(source)
    expected = [part.split('"')[3] for part in text.splitlines() if part]
    assert project.values("log__events", "id") == expected
    assert project.open_rows() == []


def test_formats_of_files_and_their_positions(project: Project) -> None:
    source = project.declare(
        "mix",
        """
tables:
  gz: {description: a, files: "*.jsonl.gz", format: jsonl, columns: {id: text}}
  sheet: {description: a, files: "*.parquet", format: parquet, columns: {id: bigint, paid: double, tags: json, at: timestamp}}
  big: {description: a, files: "*.big.csv", format: csv, columns: {id: bigint, note: text}}
""",
    )
    project.drop("a.jsonl.gz", gzip.compress(lines(*range(3000)).encode()))
    duckdb.execute(
        f"""copy (select i as id, i / 2 as paid, ['a', 'b'] as tags, timestamp '2026-01-01' + interval (i) second as at,
        18446744073709551615::ubigint as huge from range(120000) t(i)) to '{project.landing}/b.parquet' (row_group_size 10000)"""
    )
    rows = "".join(f'{n},"a ""quoted"" note, with\nlines {n}"\n' for n in range(30000))
    project.drop("c.big.csv", "id,note\n" + rows * 20)  # larger than a piece, with rows that lie across pieces
    loaded = project.load(source)
    assert loaded.rows == {"gz": 3000, "sheet": 120000, "big": 600000}
    assert project.open_rows() == []
    assert project.query(
        "select max(id), max(paid), any_value(tags), max(sheet.at)::varchar, max(_cdp_row), any_value(huge) from raw.mix__sheet as sheet"
    ) == [(119999, 59999.5, '["a","b"]', "2026-01-02 09:19:59+00", 120000, "18446744073709551615")]
    assert project.query(
        "select count(*), sum(id), count(distinct _cdp_row), min(_cdp_row), max(_cdp_row), max(length(note)) from raw.mix__big"
    ) == [(600000, sum(range(30000)) * 20, 600000, 2, 1200000, len('a "quoted" note, with\nlines 29999'))]
    assert project.load(source).total == 0


def test_a_folder_that_is_not_there_is_told(project: Project) -> None:
    source = project.declare("log", EVENTS)
    moved = project.settings.model_copy(update={"landing_dir": project.folder / "nowhere"})
    with pytest.raises(ConfigurationError, match="the folder of the files does not exist") as caught:
        run_source(source, moved)
    assert "CDP_LANDING_DIR" in caught.value.fix
    assert not has_new_data(source, moved)
    wrong = project.declare("log", "root: '{shared_date}'\n" + EVENTS)
    with pytest.raises(ConfigurationError, match="unknown setting 'shared_date'"):
        run_source(wrong, project.settings)


def test_nothing_new_does_not_start_dlt(project: Project) -> None:
    """Importing dlt costs more than looking at thousands of files."""
    import subprocess

    source = project.declare("log", EVENTS)
    project.drop("events-1.jsonl", lines(1))
    project.load(source)
    code = (
        "import sys; from pathlib import Path; from cdp.settings import Settings; from cdp.sources import one_source\n"
        "from ingest.pipeline import run_source\n"
        f"s = Settings(project_root=Path({str(project.settings.project_root)!r}), data_dir=Path({str(project.settings.data_dir)!r}),"
        f" landing_dir=Path({str(project.landing)!r}))\n"
        "assert run_source(one_source('log', s).value, s).total == 0\n"
        "print(sorted(m for m in ('dlt', 'sqlalchemy', 'requests') if m in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]", found.stderr
