"""The whole pipeline on a large world: full run, a run without news, and a run after one more day of data.

    python -m benchmarks.pipeline --persons 100000 --days 180

Real processes throughout: `cdp world generate`, `cdp world up`, `cdp run`, `cdp world advance`. Times are wall clock; the
baseline of the incremental run is the full run of the same call. Memory is the largest single process (ru_maxrss).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CDP = str(Path(sys.executable).with_name("cdp"))


def measure(persons: int, days: int, seed: int, folder: Path) -> dict[str, Any]:
    """Figures of one call; `folder` is the data directory and may be removed afterwards."""
    environment = {**os.environ, "CDP_DATA_DIR": str(folder)}
    for name in ("CDP_SOURCES", "CDP_AS_OF", "CDP_LANDING_DIR"):
        environment.pop(name, None)

    def call(*arguments: str) -> tuple[str, float, float]:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run([CDP, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"cdp {' '.join(arguments)} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return done.stdout, time.monotonic() - started, processor

    def run() -> dict[str, Any]:
        text, wall, processor = call("run", "--json")
        summary = json.loads(text)
        return {
            "seconds": round(wall, 1),
            "processor_seconds": round(processor, 1),
            "pipeline_seconds": summary["seconds"],
            "steps": dict(sorted(summary["steps"].items(), key=lambda kv: -kv[1])[:8]),
        }

    _, generated, _ = call("world", "generate", "--persons", str(persons), "--days", str(days), "--seed", str(seed))
    call("world", "up")
    try:
        full = run()
        quality = json.loads(call("world", "evaluate", "--json")[0])["overall"]
        idle = run()
        call("world", "advance", "--days", "1")
        day = run()
    finally:
        call("world", "down")
    events = json.loads(call("sql", "--json", "select count(*) as n from conformed.event")[0])[0]["n"]
    people = json.loads(call("sql", "--json", "select count(*) as n from profiles.person")[0])[0]["n"]
    return {
        "persons": persons,
        "days": days,
        "events": events,
        "profiles": people,
        "precision": round(quality["precision"], 4),
        "recall": round(quality["recall"], 4),
        "generate_seconds": round(generated, 1),
        "full": full,
        "nothing_new": idle,
        "one_more_day": day,
        "one_more_day_over_full": round(day["pipeline_seconds"] / full["pipeline_seconds"], 3),
        "largest_process_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2, 2),
        "warehouse_gb": round((folder / "warehouse.duckdb").stat().st_size / 1024**3, 2),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--keep", type=Path, help="Data directory to keep; a temporary one by default.")
    arguments = parser.parse_args()
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        print(
            json.dumps(measure(arguments.persons, arguments.days, arguments.seed, arguments.keep.resolve()), indent=2)
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(arguments.persons, arguments.days, arguments.seed, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
