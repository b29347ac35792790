"""What the collector pays for judging each event by a tracking plan of 200 events.

    python -m benchmarks.tracking [--seconds 10] [--rounds 3] [--events 200]

The collector is the real command, once without a plan and once with a plan of so many events, in turn; the client sends
batches of 20 as fast as they are answered (benchmarks.collector). The events fit the plan, as most do: six properties, three of
them with a pattern or a limit. What is compared is processor time of the collector an event, the least of the rounds, as other
work of the machine only adds to it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.collector import BATCH, ROOT, measured

SETTINGS = """
name: large
owner: bench@lumen.example
description: A plan of many events.
enforcement: {unplanned_event: flag, unplanned_property: flag, missing_property: flag, invalid_property: flag, misplaced_event: flag}
sources: {web: {}}
"""
EVENT = """
name: %s
description: Once per opening.
why: What draws attention?
owner: bench@lumen.example
sources: [web]
properties:
  product_id: {type: string, required: true, pattern: "LMP-[0-9]+", description: Product.}
  price: {type: number, min: 0, description: Price.}
  currency: {type: string, pattern: "[A-Z]{3}", description: Currency.}
  path: {type: string, description: Path.}
  url: {type: string, description: Address.}
  title: {type: string, max_length: 200, description: Title.}
"""


def main() -> None:
    """Measure in turns, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=200)
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory(prefix="cdp-bench-") as folder:
        roots = {
            "without": _project(Path(folder) / "bare", 0),
            "with": _project(Path(folder) / "planned", options.events),
        }
        for turn in range(options.rounds):
            for name, root in roots.items():
                data = Path(folder) / f"{name}{turn}"
                found[name].append(measured(data, options.seconds, BATCH, 0.0, CDP_PROJECT_ROOT=str(root)))
    least = {n: min(r["collector_cpu_microseconds_an_event"] for r in rounds) for n, rounds in found.items()}
    print(
        json.dumps(
            {
                "events_in_the_plan": options.events,
                "microseconds_an_event": least,
                "validation_costs_percent": round(100 * (least["with"] / least["without"] - 1), 1),
                "events_a_second": {n: max(r["events_a_second"] for r in rounds) for n, rounds in found.items()},
                "rounds_microseconds": {
                    n: [r["collector_cpu_microseconds_an_event"] for r in rounds] for n, rounds in found.items()
                },
            },
            indent=2,
        )
    )


def _project(root: Path, events: int) -> Path:
    """A project with the inputs of this one, and a plan of its own."""
    plan = root / "ingest" / "tracking_plan"
    plan.mkdir(parents=True)
    for name in ("collector", "sources"):
        (root / "ingest" / name).symlink_to(ROOT / "ingest" / name)
    if events:
        (plan / "_plan.yml").write_text(SETTINGS, encoding="utf-8")
        names = ["Product Viewed", *(f"Product{n:03} Viewed" for n in range(1, events))]
        for name in names:
            (plan / f"{name.lower().replace(' ', '_')}.yml").write_text(EVENT % name, encoding="utf-8")
    return root


if __name__ == "__main__":
    main()
