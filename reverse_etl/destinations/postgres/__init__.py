"""Postgres: rows of a table."""
