"""A seeded company with known true persons: Lumen, its customers and everything its systems recorded about them."""

from demo.world.generation import advance, generate
from demo.world.summary import WorldArguments, WorldSummary, read_summary

__all__ = ["WorldArguments", "WorldSummary", "advance", "generate", "read_summary"]
