"""Slack: messages to channels."""
