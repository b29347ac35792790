"""The command line `cdp`. Every command imports what it needs when it runs, so that `cdp --help` answers at once."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from typing import NoReturn

import typer

from cdp.commands import (
    collector,
    declarations,
    doctor,
    identity,
    identity_match,
    live,
    model,
    quarantine,
    run,
    segment,
    sync,
    tag,
    tracking,
    warehouse,
    world,
)
from cdp.errors import CdpError
from cdp.garbage import collect_rarely

app = typer.Typer(
    name="cdp",
    help="Tributary: a customer data platform in your own warehouse and one Git repository.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich costs 0.3 s to import, as much as all the rest
    context_settings={"help_option_names": ["-h", "--help"]},
)
run.register(app)
live.register(app)
warehouse.register(app)
doctor.register(app)
app.add_typer(sync.app, name="sync", help="Plan, run and watch what goes to destinations.")
app.add_typer(
    quarantine.app, name="quarantine", help="Rows that could not be read: look at them, mend them, replay them."
)
app.add_typer(collector.app, name="collector", help="Take events over HTTP, look at what came, send it through again.")
app.add_typer(declarations.app, name="declarations", help="Check and list tags, scores, segments and sources.")
app.add_typer(identity.app, name="identity", help="Who is who, why, and what a change of rules would do.")
identity_match.register(identity.app)
app.add_typer(segment.app, name="segment", help="Sizes, members and overlaps of segments, and why somebody is in one.")
app.add_typer(tag.app, name="tag", help="Set manual tags and take them away.")
app.add_typer(model.app, name="model", help="Predictive scores: train, evaluate, score, explain.")
app.add_typer(tracking.app, name="tracking", help="The tracking plan: check, coverage, export, import, diff, usage.")
app.add_typer(tracking.events_app, name="plan-events", help="Events and properties that come unplanned.")
app.add_typer(world.app, name="world", help="The demo world: a generated company with emulated systems.")


def main() -> None:
    """Entry point: errors of ours are printed without a traceback, with their exit code."""
    collect_rarely()
    try:
        app()
    except SystemExit as leaving:
        _leave(leaving.code if isinstance(leaving.code, int) else 1)
    except CdpError as error:
        typer.secho(error.render(), fg=typer.colors.RED if sys.stderr.isatty() else None, err=True)
        _leave(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        _leave(130)


def _leave(code: int) -> NoReturn:
    """End the process after its exit handlers, without tearing down modules: DuckDB's bindings print pages of "leaked
    instances" there once duckdb-engine was imported."""
    if "duckdb" not in sys.modules:
        raise SystemExit(code)
    atexit._run_exitfuncs()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
