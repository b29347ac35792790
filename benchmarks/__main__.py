"""Runs the benchmarks and writes their figures into docs/benchmarks.md, between its markers.

python -m benchmarks            all of them
python -m benchmarks ingest     one of them
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    """Run `python -m benchmarks.<name>` for each; its last JSON document is the figures."""
    names = sys.argv[1:] or sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))
    page = PAGE.read_text(encoding="utf-8")
    for name in names:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        )
        figures = json.loads(done.stdout[done.stdout.index("{") :])
        machine = (
            f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
        )
        page = _put(page, name, f"Measured on {machine}:\n\n```json\n{json.dumps(figures, indent=2)}\n```")
        PAGE.write_text(page, encoding="utf-8")
        print(f"{name}: written to {PAGE.relative_to(ROOT)}")


def _put(page: str, name: str, text: str) -> str:
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if start not in page:
        return f"{page.rstrip()}\n\n## {name}\n\n{start}\n{text}\n{end}\n"
    return page[: page.index(start) + len(start)] + f"\n{text}\n" + page[page.index(end) :]


if __name__ == "__main__":
    main()
