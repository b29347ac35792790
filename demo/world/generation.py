"""Makes a world and lets it grow: runs the numbered SQL files, then has their tables written out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
from pydantic import ValidationError

from cdp.errors import CdpError, ConfigurationError
from demo.world.summary import WorldArguments, WorldSummary, read_summary
from demo.world.writing import write_world

SQL_FOLDER = Path(__file__).parent / "sql"
MEMORY_LIMIT = "3GB"

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
    for path in sorted(SQL_FOLDER.glob("*.sql")):
        if progress:
            progress(path.stem[3:].replace("_", " "))
        connection.execute(path.read_text(encoding="utf-8"))
    return connection


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
