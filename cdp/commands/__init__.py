"""The commands of `cdp`. They stand above all other folders and may import any of them, inside their functions only."""
