"""TikTok audiences."""
