"""Emulated vendors that serve the demo world; each follows its vendor's contract with its limits and errors."""
