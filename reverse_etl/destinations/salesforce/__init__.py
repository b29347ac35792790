"""Salesforce records by Bulk API 2.0."""
