"""Errors that a person reads: what happened, where, what was expected, what to do."""

from __future__ import annotations


class CdpError(Exception):
    """A failure with an explanation.

    `exit_code` follows the table in docs/cli.md: 1 a run or check failed, 2 the call or a declaration is wrong,
    3 the machine or the configuration is not ready, 4 something else holds what is needed (a lock, a moved plan).
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", expected: str = "", fix: str = "") -> None:
        self.what, self.where, self.expected, self.fix = what, where, expected, fix
        super().__init__(self.render())

    def render(self) -> str:
        """The message as the command line prints it, one fact a line."""
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.fix:
            lines.append(f"  to do:    {self.fix}")
        return "\n".join(lines)


class DeclarationError(CdpError):
    """A YAML declaration is wrong."""

    exit_code = 2


class ConfigurationError(CdpError):
    """A setting, secret, file or folder that is needed is missing or unusable."""

    exit_code = 3


class BusyError(CdpError):
    """Another process holds what this one needs."""

    exit_code = 4


class RunError(CdpError):
    """A run, a load or a check failed."""

    exit_code = 1
