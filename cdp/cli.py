"""The command line `cdp`. Every command imports what it needs when it runs, so that `cdp --help` answers at once."""

from __future__ import annotations

import sys

import typer

from cdp.commands import declarations, doctor, quarantine, run, sync, warehouse, world
from cdp.errors import CdpError

app = typer.Typer(
    name="cdp",
    help="Tributary: a customer data platform in your own warehouse and one Git repository.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
run.register(app)
warehouse.register(app)
doctor.register(app)
app.add_typer(sync.app, name="sync", help="Plan, run and watch what goes to destinations.")
app.add_typer(
    quarantine.app, name="quarantine", help="Rows that could not be read: look at them, mend them, replay them."
)
app.add_typer(declarations.app, name="declarations", help="Check and list tags, scores, segments and sources.")
app.add_typer(world.app, name="world", help="The demo world: a generated company with emulated systems.")


def main() -> None:
    """Entry point: errors of ours are printed without a traceback, with their exit code."""
    try:
        app()
    except CdpError as error:
        typer.secho(error.render(), fg=typer.colors.RED if sys.stderr.isatty() else None, err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
