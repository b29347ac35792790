"""Files of random dirt, with printed seeds: every line is landed or set aside, however the file is cut."""

from __future__ import annotations

import random

import pytest

from tests.ingest.conftest import Project
from tests.ingest.test_dirty_files import CSV, JSON


def random_dirt(project: Project, kind: str) -> dict[str, list[bytes]]:
    """Files of random lines, by name."""
    seed = random.Random(kind).randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    alphabet = [*"0123456789ab,\";\\{}[]:'\t", "\r", "\x00", "é", "\U0001f319", '"id"', '{"id": 1}', '"id": 2, ']
    written: dict[str, list[bytes]] = {}
    for file in range(60):
        letters = alphabet if file % 2 else [letter for letter in alphabet if letter not in '"\r' and '"' not in letter]
        lines = [b"id,name"] if kind == "csv" else []
        for _ in range(rng.randint(0, 30)):
            text = "".join(rng.choice(letters) for _ in range(rng.randint(0, 12))).encode()
            if rng.random() < 0.3:
                text = b"7,good" if kind == "csv" else b'{"id": 7, "name": "good"}'
            if rng.random() < 0.05:
                text += bytes([rng.randint(128, 255)])
            lines.append(text)
        written[f"{file:02}.{kind}"] = lines
        end = rng.choice([b"\n", b"\r\n"])
        project.drop(f"{file:02}.{kind}", end.join(lines) + (end if rng.random() < 0.7 else b""))
    return written


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_whatever_the_bytes_are_nothing_is_lost(project: Project, kind: str) -> None:
    """Random dirt: every line that is not blank is landed, set aside, or part of a row that is."""
    source = project.declare("dirt", (CSV % "utf-8") if kind == "csv" else JSON)
    written = random_dirt(project, kind)
    project.load(source)
    landed = project.query("select _cdp_origin, _cdp_row, coalesce(name, '') from raw.dirt__rows")
    aside = project.query("select origin, position, original from raw.raw_quarantine")
    covered: set[tuple[str, int]] = set()
    for origin, position, text in [*landed, *aside]:
        for extra in range(text.count("\n") + 1):  # a value may go over lines
            covered.add((origin, position + extra))
    first = 2 if kind == "csv" else 1
    for name, lines in written.items():
        for number, line in enumerate(lines[first - 1 :], first):
            if line.strip(b" \t\r\x00"):
                assert (name, number) in covered, (name, number, line)
    places = [(origin, position) for origin, position, _ in landed]
    assert len(set(places)) == len(places) > 100
    assert not set(places) & {(origin, position) for origin, position, _ in aside}


def test_rows_are_the_same_whoever_cuts_them(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's csv module and, for large pieces without quotes, DuckDB."""
    random_dirt(project, "csv")
    found = []
    for name, size in (("python", 10**9), ("duckdb", 1)):
        monkeypatch.setattr("ingest.files.SPLIT_BYTES", size)
        project.load(project.declare(name, CSV % "utf-8"))
        rows = project.query(
            f"select * exclude (_cdp_sequence, _dlt_load_id) from raw.{name}__rows order by _cdp_origin, _cdp_row"
        )
        aside = (
            "select origin, position, reason, original, header from raw.raw_quarantine where source = ? order by 1, 2"
        )
        found.append((rows, project.query(aside, name)))
    for first, second in zip(*found, strict=True):
        assert set(first) ^ set(second) == set()
        assert first == second
