"""How often Python looks for cycles of objects that nobody needs any more."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Look after 50,000 new containers instead of 700. Imports and dbt's manifest make millions that stay, and looking at them
    over and over took a tenth of a run's processor time. What waits to be found is a few megabytes at most."""
    gc.set_threshold(50_000, 20, 50)
