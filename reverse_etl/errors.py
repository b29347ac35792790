"""Failures of a sync beside those of every command."""

from __future__ import annotations

from cdp.errors import CdpError


class BlastRadiusError(CdpError):
    """The run would change more than its sync allows; nothing was sent."""

    exit_code = 4


class PlanMovedError(CdpError):
    """The plan that was accepted is no longer the plan; nothing was sent."""

    exit_code = 4
