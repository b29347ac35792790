"""`world.json`: what a world was made from and what is in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cdp.errors import ConfigurationError

STARTED_ON = datetime(2026, 1, 1, tzinfo=UTC)
"""Day 0 of every world."""

FORMAT = 1
"""Changes when the same arguments give other bytes, so that a world is never advanced by another generator."""


class WorldArguments(BaseModel):
    """Everything a world depends on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    persons: int = Field(ge=1, le=1_000_000, description="Persons who arrive over the whole horizon.")
    days: int = Field(ge=1, le=4_096, description="Days written, from 2026-01-01 on.")
    seed: int = Field(ge=0, le=2**31 - 1, description="Seed of all randomness.")
    horizon: int = Field(
        ge=1, le=4_096, description="Days over which persons arrive; new columns appear at its middle."
    )

    @property
    def as_of(self) -> datetime:
        """The end of the last day (UTC)."""
        return STARTED_ON + timedelta(days=self.days)


class WorldSummary(BaseModel):
    """The content of `world.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    arguments: WorldArguments
    started_on: datetime = STARTED_ON
    as_of: datetime
    files: int
    records: dict[str, int]
    malformed: dict[str, int]
    mess: dict[str, int]


def read_summary(folder: Path) -> WorldSummary:
    """The summary of the world in `folder`. Raises ConfigurationError when there is none or it cannot be read."""
    path = folder / "world.json"
    try:
        summary = WorldSummary.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ConfigurationError(
            "there is no world here", where=str(path), expected="world.json", fix="run `cdp world generate` first"
        ) from None
    except (ValidationError, OSError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise ConfigurationError(
            f"cannot be read: {first}", where=str(path), fix="generate the world anew with `cdp world generate`"
        ) from None
    if summary.format != FORMAT:
        raise ConfigurationError(
            f"was written by another generator (format {summary.format})",
            where=str(path),
            expected=f"format {FORMAT}",
            fix="generate the world anew with `cdp world generate`",
        )
    return summary
