"""Measurements. Each module prints its figures; `python -m benchmarks` writes them to docs/benchmarks.md."""
