"""Iterable users, list memberships and events."""
