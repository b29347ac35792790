"""Braze users and events."""
