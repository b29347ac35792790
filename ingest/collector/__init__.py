"""The HTTP collector: takes events and webhooks, and answers only when they are on disk.

bodies (what a request says) -> events, dialects, webhooks (what it means) -> log (durable, numbered) -> segments (files),
which `ingest/kinds/collector.py` lands in raw.
"""
