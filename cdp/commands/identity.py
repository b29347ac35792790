"""`cdp identity`: who is who, why, and what a change of rules would do."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Who is who, why, and what a change of rules would do.")
