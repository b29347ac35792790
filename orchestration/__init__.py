"""Wiring: assets, checks, schedules and sensors of Dagster. No SQL, no HTTP, no business rule lives here."""
