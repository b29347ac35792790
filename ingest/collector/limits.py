"""How much the collector takes at a time, from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from cdp.settings import Settings

MAX_BATCH_EVENTS = 10_000


@dataclass(frozen=True)
class Limits:
    """Bytes, seconds, counts. `public_url`: how browsers reach the collector; empty: as they asked."""

    body_bytes: int = 5 * 1024**2
    event_bytes: int = 512 * 1024
    queue_bytes: int = 64 * 1024**2
    batch_events: int = MAX_BATCH_EVENTS
    connections: int = 2000
    slow_seconds: float = 15.0
    public_url: str = ""


def limits_of(settings: Settings) -> Limits:
    """The limits as they are set."""
    return Limits(
        body_bytes=settings.collector_body_kb * 1024,
        event_bytes=settings.collector_event_kb * 1024,
        queue_bytes=settings.collector_queue_mb * 1024**2,
        connections=settings.collector_connections,
        slow_seconds=settings.collector_slow_seconds,
        public_url=settings.collector_public_url.rstrip("/"),
    )
