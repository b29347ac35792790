"""Lands sources in the warehouse's `raw` schema with dlt: one YAML a source, nothing lost, every row numbered once."""
