"""Klaviyo profiles, list memberships and events."""
