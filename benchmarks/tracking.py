"""What the collector pays for judging each event by a tracking plan of 200 events.

    python -m benchmarks.tracking [--seconds 1] [--rounds 20] [--events 200]

Two collectors are up, the real command, one without a plan and one with a plan of so many events. By turns, for a second each,
a client sends one of them batches of 20 as fast as they are answered (benchmarks.collector). The events fit the plan, as most
do: six properties, three of them with a pattern or a limit. What is compared is processor time of the collector an event: the
median of the ratios of neighbouring turns, which other work of the machine moves alike. 20 rounds take a minute.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

from benchmarks.collector import BATCH, ROOT, client, cpu, serving

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
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--events", type=int, default=200)
    options = parser.parse_args()
    spent: dict[str, list[float]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory(prefix="cdp-bench-") as folder, ExitStack() as held:
        servers = {}
        for name, events in (("without", 0), ("with", options.events)):
            root = _project(Path(folder) / f"project_{name}", events)
            servers[name] = held.enter_context(serving(Path(folder) / name, CDP_PROJECT_ROOT=str(root)))
        for turn in range(-1, options.rounds):
            for name in sorted(servers, reverse=bool(turn % 2)):
                pid, port = servers[name]
                before = cpu(pid)
                told = client(port, options.seconds, BATCH, f"turn{turn}", 0.0)
                if turn >= 0:  # the first one warms up
                    spent[name].append((cpu(pid) - before) * 1e6 / told["acknowledged"])
    ratios = sorted(planned / bare for planned, bare in zip(spent["with"], spent["without"], strict=True))
    found = {
        "events_in_the_plan": options.events,
        "rounds": options.rounds,
        "microseconds_an_event": {name: round(median(each), 1) for name, each in spent.items()},
        "validation_costs_percent": round(100 * (median(ratios) - 1), 1),
        "percent_of_half_of_the_rounds": [round(100 * (r - 1), 1) for r in quantiles(ratios, n=4)[::2]],
    }
    print(json.dumps(found, indent=2))


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
