"""The demo world, its truth (kept apart) and the emulated sources and destinations."""
