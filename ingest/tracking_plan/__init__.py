"""The tracking plan: `<event>.yml` is one event; the modules check events against it and write it in other forms."""

from __future__ import annotations

from ingest.tracking_plan.validator import validator_for
from ingest.tracking_plan.verdict import Verdict, Violation

__all__ = ["Verdict", "Violation", "validator_for"]
