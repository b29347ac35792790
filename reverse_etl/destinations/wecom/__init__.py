"""WeCom customer tags."""
