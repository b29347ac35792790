"""The one place where settings are read: environment variables with the prefix CDP_, then `.env`, then the demo world's `world.env`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from cdp.errors import ConfigurationError

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """All settings of Tributary. Each is `CDP_` + the upper-case name; docs/settings.md is made from this class."""

    model_config = SettingsConfigDict(env_prefix="CDP_", env_file=PROJECT_ROOT / ".env", extra="ignore", frozen=True)

    project_root: Path = Field(PROJECT_ROOT, description="Folder of the repository with the declarations and models.")
    data_dir: Path = Field(Path(".cdp"), description="Folder for the warehouse and all state; relative to the root.")
    sources: str = Field(
        "", description="Active sources, comma separated; empty: those whose YAML says `active: true`."
    )
    as_of: str = Field(
        "",
        description="The 'now' of a run (ISO 8601, UTC); empty: the demo world's end, or today 00:00 (later where `cdp live` is).",
    )
    landing_dir: Path | None = Field(
        None,
        description="Folder below which file sources look for files; empty: the demo world's, `<data_dir>/world/sources`.",
    )
    default_region: str = Field("CN", description="ISO 3166 region of phone numbers written without a country code.")
    reporting_currency: str = Field("CNY", description="Currency (ISO 4217) of revenue and value columns.")
    threads: int = Field(2, ge=1, le=64, description="Threads of DuckDB and dbt.")
    memory_limit: str = Field("6GB", description="DuckDB's memory limit; beyond it DuckDB spills to disk.")
    lock_timeout: float = Field(3600, ge=0, description="Seconds to wait for the warehouse's single writer.")
    shared_data: Path = Field(Path("../shared/data"), description="Folder of the real data sets used by tests.")
    ledger_url: SecretStr = Field(SecretStr(""), description="SQLAlchemy URL of the sync ledger; empty: SQLite file.")
    collector_port: int = Field(8787, ge=0, le=65535, description="Loopback port of the collector; 0 takes a free one.")
    collector_dir: Path | None = Field(
        None, description="Folder of the collector's log; empty: `<data_dir>/collector`."
    )
    collector_public_url: str = Field("", description="How browsers reach the collector; empty: as they asked for it.")
    collector_rotate_seconds: float = Field(
        10, gt=0, description="Age at which a segment of the collector's log is closed and can be loaded."
    )
    collector_segment_mb: int = Field(64, ge=1, le=1024, description="Size at which a segment is closed, in MiB.")
    collector_queue_mb: int = Field(64, ge=1, description="MiB that may wait for the disk before clients are held off.")
    collector_body_kb: int = Field(5120, ge=64, description="Largest body of a request, also unpacked, in KiB.")
    collector_event_kb: int = Field(512, ge=1, description="Largest event, in KiB.")
    collector_connections: int = Field(2000, ge=1, description="Connections that the collector keeps at a time.")
    collector_slow_seconds: float = Field(15, gt=0, description="Time for the headers and for the body of a request.")
    ui_port: int = Field(3000, ge=0, le=65535, description="Loopback port of the Dagster UI.")

    def path(self, *parts: str) -> Path:
        """A path below the data directory (absolute; not created)."""
        return self.absolute(self.data_dir).joinpath(*parts)

    def absolute(self, path: Path) -> Path:
        """A setting's path, relative ones seen from the project root."""
        return path if path.is_absolute() else (self.project_root / path).resolve()

    @property
    def landing_path(self) -> Path:
        """Folder below which file sources look for files."""
        return self.absolute(self.landing_dir) if self.landing_dir else self.path("world", "sources")

    @property
    def collector_path(self) -> Path:
        """Folder of the collector's log."""
        return self.absolute(self.collector_dir) if self.collector_dir else self.path("collector")

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file that runs write."""
        return self.path("warehouse.duckdb")

    @property
    def published_path(self) -> Path:
        """The copy of the warehouse that readers open; swapped in whole at the end of a run."""
        return self.path("published.duckdb")

    @property
    def dbt_dir(self) -> Path:
        """Folder of the dbt project."""
        return self.project_root / "dbt_project"

    def resolve_as_of(self) -> str:
        """The "now" of a run, ISO 8601 in UTC: the setting, else the end of the demo world that is the landing folder,
        else today 00:00 (the one place where a clock is read) or, when `cdp live` went further, as far as that."""
        given = self._given_as_of()
        if given:
            return given
        today = datetime.now(UTC).strftime("%Y-%m-%dT00:00:00")
        reached = self.path("as_of")
        return max(today, reached.read_text(encoding="ascii").strip()) if reached.exists() else today

    def advance_as_of(self, received_at: datetime) -> str:
        """The "now" of a micro-batch: just after its last event was received, never earlier than a run's. Kept in
        `<data_dir>/as_of`, so that the next run does not go back behind it. The setting and the demo world stay as they are."""
        given = self._given_as_of()
        if given:
            return given
        just_after = (received_at.astimezone(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
        now = max(self.resolve_as_of(), just_after)
        partial = self.path("as_of.new")
        partial.write_text(now + "\n", encoding="ascii")
        partial.replace(self.path("as_of"))
        return now

    def _given_as_of(self) -> str:
        if self.as_of:
            return _utc(self.as_of)
        world = self.landing_path.parent / "world.json"
        return _utc(str(json.loads(world.read_text(encoding="utf-8"))["as_of"])) if world.exists() else ""

    def dbt_environment(self) -> dict[str, str]:
        """What dbt's profile and macros read from the environment, for a process in the project's folder.

        The warehouse is named from there: dbt reads the whole project anew when a value of its profile changes, which a moved
        project would do.
        """
        return {
            "CDP_WAREHOUSE_PATH": os.path.relpath(self.warehouse_path, self.dbt_dir),
            "DBT_TARGET_PATH": str(self.path("dbt")),
            "CDP_AS_OF": self.resolve_as_of(),
            "CDP_THREADS": str(self.threads),
            "CDP_DBT_THREADS": str(self.threads),
            "CDP_MEMORY_LIMIT": self.memory_limit,
            "CDP_DEFAULT_REGION": self.default_region,
            "CDP_REPORTING_CURRENCY": self.reporting_currency,
        }

    def ledger_database_url(self) -> str:
        """SQLAlchemy URL of the sync engine's ledger."""
        return self.ledger_url.get_secret_value() or f"sqlite:///{self.path('ledger.sqlite')}"


def _utc(text: str) -> str:
    """An ISO 8601 time as UTC without offset. Raises ConfigurationError."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ConfigurationError(
            f'"{text}" is not a time', where="CDP_AS_OF (or --as-of)", expected="ISO 8601, e.g. 2026-03-01T00:00:00"
        ) from None
    if found.tzinfo:
        found = found.astimezone(UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once. Raises ConfigurationError naming each wrong setting."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"CDP_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(
            f"a setting cannot be used: {wrong}", where="environment or .env", fix="correct it; see docs/settings.md"
        ) from None


def connection(name: str, settings: Settings | None = None) -> dict[str, str]:
    """Every `CDP_<NAME>__<KEY>` as {key in lower case: value}: base URL and secrets of one source or destination.

    The environment beats `.env`, which beats `world.env` (written by `cdp world up` for the emulators).
    """
    settings = settings or get_settings()
    prefix = f"CDP_{name.upper()}__"
    layers: list[Mapping[str, str | None]] = [
        dotenv_values(settings.path("world.env")),
        dotenv_values(settings.project_root / ".env"),
        dict(os.environ),
    ]
    found: dict[str, str] = {}
    for layer in layers:
        found.update({k[len(prefix) :].lower(): v for k, v in layer.items() if k.startswith(prefix) and v})
    return found


def required_connection(name: str, keys: list[str], settings: Settings | None = None) -> dict[str, str]:
    """Like `connection`, but every key of `keys` must be there: else ConfigurationError names what to set."""
    found = connection(name, settings)
    missing = [f"CDP_{name.upper()}__{key.upper()}" for key in keys if not found.get(key)]
    if missing:
        raise ConfigurationError(
            f"{', '.join(missing)} is not set",
            where=name,
            expected="an environment variable or a line in .env (for the demo world: `cdp world up` writes world.env)",
            fix=f"set {missing[0]} and run again",
        )
    return found
