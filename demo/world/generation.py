"""Makes a world and lets it grow: runs the numbered SQL files, then has their tables written out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import duckdb
from pydantic import ValidationError

from cdp.errors import CdpError, ConfigurationError
from demo.world.summary import WorldArguments, WorldSummary, read_summary
from demo.world.writing import write_world

SQL_FOLDER = Path(__file__).parent / "sql"
# 100,000 persons x 180 days take 3.3 GB; with less they spill, and take 10 s more
MEMORY_LIMIT = "6GB"
# First digits of the files that do not read each other's tables: 2x are small sources, 3x sources that look at those.
SIDE_BY_SIDE = ("2", "3")
SET_VARIABLE = re.compile(r"^set variable .*?;$\n?", re.MULTILINE | re.DOTALL)

Progress = Callable[[str], None]


def generate(
    persons: int,
    days: int,
    seed: int,
    out: Path,
    horizon: int | None = None,
    *,
    threads: int = 2,
    progress: Progress | None = None,
) -> WorldSummary:
    """Write a whole world to `out`, replacing a world that is there; other files there are never touched.

    The same arguments give the same bytes, whatever `threads`. Raises CdpError for arguments out of range,
    ConfigurationError when `out` holds something that is not a world.
    """
    arguments = _arguments(persons=persons, days=days, seed=seed, horizon=days if horizon is None else horizon)
    out = out.resolve()
    _refuse_foreign(out)
    building = out.with_name(out.name + ".building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        with build(arguments, building / "spill", threads, progress) as connection:
            summary = write_world(connection, arguments, building, 0, threads, progress)
        shutil.rmtree(building / "spill", ignore_errors=True)
        _swap(building, out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return summary


def advance(out: Path, days: int = 1, *, threads: int = 2, progress: Progress | None = None) -> WorldSummary:
    """Let the world in `out` live `days` days longer.

    Daily files that are there stay as they are; those of the new days appear; backing tables, the shop's database and
    the truth are replaced by their later state. `world.json` is written last, so a run that was killed is simply run
    again.
    """
    before = read_summary(out)
    if days < 1:
        raise CdpError(f"cannot advance by {days} days", where="--days", expected="1 or more")
    arguments = _arguments(**{**before.arguments.model_dump(), "days": before.arguments.days + days})
    spill = out / ".spill"
    try:
        with build(arguments, spill, threads, progress) as connection:
            return write_world(connection, arguments, out, before.arguments.days, threads, progress)
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def build(
    arguments: WorldArguments, spill: Path, threads: int, progress: Progress | None = None
) -> duckdb.DuckDBPyConnection:
    """An in-memory database with every table of the world; nothing is written but what does not fit into memory."""
    connection = duckdb.connect(config={"threads": threads, "memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)})
    connection.execute("create table arguments (persons integer, days integer, seed integer, horizon integer)").execute(
        "insert into arguments values (?, ?, ?, ?)",
        [arguments.persons, arguments.days, arguments.seed, arguments.horizon],
    )
    variables = ""
    for decade, group in groupby(sorted(SQL_FOLDER.glob("*.sql")), key=lambda path: path.name[0]):
        texts = {path.stem[3:].replace("_", " "): path.read_text(encoding="utf-8") for path in group}
        if progress and decade in SIDE_BY_SIDE:
            progress(", ".join(texts))
        if decade in SIDE_BY_SIDE:
            _side_by_side(connection, variables, list(texts.values()), threads)
            continue
        for name, text in texts.items():
            if progress:
                progress(name)
            connection.execute(text)
            variables += "".join(SET_VARIABLE.findall(text))
    return connection


def _side_by_side(connection: duckdb.DuckDBPyConnection, variables: str, texts: list[str], threads: int) -> None:
    """Run the texts on connections of their own, which know the variables set before: each keeps one core busy at most."""

    def run(text: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(variables)
            cursor.execute(text)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, texts))


def _arguments(**values: int) -> WorldArguments:
    try:
        return WorldArguments(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise CdpError(f"{first['msg']} (found {first['input']})", where=f"--{first['loc'][0]}") from None


def _refuse_foreign(out: Path) -> None:
    """A folder with content but without `world.json` is somebody else's."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "world.json").exists())):
        raise ConfigurationError(
            "exists and is not a demo world",
            where=str(out),
            expected="a new folder or one with world.json",
            fix="choose another --out",
        )


def _swap(new: Path, out: Path) -> None:
    """Put `new` in the place of `out`, which is removed only after the new one stands there."""
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)
