"""Emulated vendors on the loopback interface: sources that serve the demo world, destinations that receive data."""
