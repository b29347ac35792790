"""The seam to the tracking plan: its compiled validator, when there is a plan.

The collector only tells what breaks the plan (column `violations`, metrics, tail) and keeps every event whole: the plan is
enforced in the warehouse, on events of all sources alike, and a wrong plan can be corrected without asking anybody again.
"""

from __future__ import annotations

from cdp.settings import Settings
from ingest.collector.events import Validator


def plan_validator(settings: Settings) -> Validator | None:
    """The validator of the declared plan; None while there is none."""
    return None
