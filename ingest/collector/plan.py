"""The seam to the tracking plan: its compiled validator, when there is a plan."""

from __future__ import annotations

from cdp.settings import Settings
from ingest.collector.events import Validator


def plan_validator(settings: Settings) -> Validator | None:
    """The validator of the declared plan; None while there is none."""
    return None
