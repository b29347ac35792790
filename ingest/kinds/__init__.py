"""Kinds of sources: how rows of files, REST APIs and SQL databases are read. A YAML in ingest/sources is an instance."""
