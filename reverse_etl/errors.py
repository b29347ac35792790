"""Failures of a sync beside those of every command."""

from __future__ import annotations

from cdp.errors import CdpError


class BlastRadiusError(CdpError):
    """The run would change more than its sync allows; nothing was sent."""

    exit_code = 4


class PlanMovedError(CdpError):
    """The plan that was accepted is no longer the plan; nothing was sent."""

    exit_code = 4


class PausedError(CdpError):
    """A person has paused the sync; nothing was sent."""

    exit_code = 4


class ForeignStateError(CdpError):
    """The acknowledged state belongs to another account; nothing was sent."""

    exit_code = 3
