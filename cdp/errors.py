"""Errors that a person reads: what happened, where, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Iterable


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
    """A YAML declaration is wrong; `errors` lists the single errors when several were found at once."""

    exit_code = 2
    _errors: tuple[DeclarationError, ...] = ()

    @property
    def errors(self) -> tuple[DeclarationError, ...]:
        """The single errors: this one itself, unless it was made by `all_of`."""
        return self._errors or (self,)

    @classmethod
    def all_of(cls, errors: Iterable[DeclarationError]) -> DeclarationError:
        """One error that says everything that is wrong, each message once, in the given order."""
        single = {e.render(): e for error in errors for e in error.errors}
        if len(single) == 1:
            return next(iter(single.values()))
        joined = cls("\n".join(single))
        joined._errors = tuple(single.values())
        return joined


class ConfigurationError(CdpError):
    """A setting, secret, file or folder that is needed is missing or unusable."""

    exit_code = 3


class BusyError(CdpError):
    """Another process holds what this one needs."""

    exit_code = 4


class RunError(CdpError):
    """A run, a load or a check failed."""

    exit_code = 1
