"""One folder a destination: `spec.yml` (what it accepts), `client.py` (how to call it), `README.md` (its contract)."""
