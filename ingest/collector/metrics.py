"""What the collector counts, in Prometheus' text format. No label holds anything a client wrote, but its input."""

from __future__ import annotations

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ingest.collector.log import Log
from ingest.collector.taking import Taken

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one process."""

    def __init__(self, log: Log) -> None:
        self.registry = registry = CollectorRegistry()
        self.events = Counter("cdp_collector_events", "Events acknowledged.", ["source", "type"], registry=registry)
        self.duplicates = Counter(
            "cdp_collector_duplicates", "Events that had been taken before.", ["source"], registry=registry
        )
        self.set_aside = Counter(
            "cdp_collector_set_aside", "Events that cannot be used, kept for repair.", ["source"], registry=registry
        )
        self.violations = Counter(
            "cdp_collector_violations", "Rules of the tracking plan that events broke.", ["source"], registry=registry
        )
        self.deliveries = Counter("cdp_collector_webhooks", "Webhook deliveries kept.", ["source"], registry=registry)
        self.refused = Counter("cdp_collector_refused", "Requests that were refused.", ["code"], registry=registry)
        self.seconds = Histogram(
            "cdp_collector_request_seconds",
            "From the first byte of a body to the answer.",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
        )
        self._gauges = {
            name: Gauge(f"cdp_collector_log_{name}", text, registry=registry)
            for name, text in {
                "records": "Records written durably.",
                "commits": "Groups written and synced.",
                "failed_commits": "Groups the disk did not take.",
                "sealed_segments": "Segments closed and compressed.",
                "failed_seals": "Segments that could not be compressed yet.",
                "recovered_records": "Records of segments that a crash had left open.",
                "torn_bytes": "Bytes behind the last whole record that a crash had left.",
                "last_sync_seconds": "How long the last fdatasync took.",
            }.items()
        }
        self._waiting = Gauge("cdp_collector_log_waiting_bytes", "Bytes that wait for the disk.", registry=registry)
        self._next = Gauge("cdp_collector_log_next_sequence", "Number of the next record.", registry=registry)
        self._failing = Gauge("cdp_collector_log_failing", "1 while the disk takes nothing.", registry=registry)
        self._log = log

    def count(self, source: str, taken: Taken) -> None:
        """Count the events of one request that was acknowledged."""
        for kind, number in Tally(taken.kinds).items():
            self.events.labels(source, kind).inc(number)
        for counter, number in (
            (self.set_aside, len(taken.reasons)),
            (self.duplicates, taken.duplicates),
            (self.violations, taken.violations),
        ):
            if number:
                counter.labels(source).inc(number)

    def text(self) -> bytes:
        """All of it."""
        for name, gauge in self._gauges.items():
            gauge.set(getattr(self._log.counters, name))
        self._waiting.set(self._log.waiting_bytes)
        self._next.set(self._log.next_sequence)
        self._failing.set(1 if self._log.failure else 0)
        return generate_latest(self.registry)
