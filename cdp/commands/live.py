"""`cdp live`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cdp.commands.output import JsonOption

if TYPE_CHECKING:
    from orchestration.live import Batch


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("live")(live)


def live(
    once: Annotated[bool, typer.Option("--once", help="Take what is there now, then end.")] = False,
    publish_seconds: Annotated[
        float, typer.Option(help="Copy the warehouse for readers at most so often; 0: after each batch.")
    ] = 60.0,
    json_: JsonOption = False,
) -> None:
    """Take what the collector closes to the destinations within seconds, batch after batch (stop with Ctrl-C).

    Runs the syncs with `live: true`, and the others when their schedule comes. Needs one `cdp run` before; leave the hourly
    run on, for other sources and for the tests.

    Example: cdp live

    Exit codes: 0 stopped, or with --once all well; 1 the last batch failed; 2 a declaration is wrong; 3 configuration.
    """
    import json
    import signal
    import threading

    from cdp.settings import get_settings
    from orchestration.live import Live

    stop, last = threading.Event(), [True]
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), lambda *_: stop.set())

    def tell(batch: Batch) -> None:
        last[0] = batch.ok
        typer.echo(json.dumps(batch.to_dict()) if json_ else _line(batch))

    following = Live(get_settings(), publish_seconds=publish_seconds)
    if not json_:
        typer.echo(
            "following " + ", ".join(s.name for s in following.sources) + "; Ctrl-C ends it after the batch", err=True
        )
    try:
        following.follow(stop, tell, once=once)
    finally:
        following.close()
    raise typer.Exit(0 if last[0] else 1)


def _line(batch: Batch) -> str:
    parts = ", ".join(f"{k} {v:.1f}" for k, v in batch.seconds.items() if k != "all" and v >= 0.05)
    sent = ", ".join(f"{name} {rows}" for name, rows in batch.sent.items()) or "nothing due"
    age = f"; first event {batch.oldest_seconds:.0f} s ago" if batch.oldest_seconds is not None else ""
    lines = [f"{batch.rows} rows, {batch.models} models, sent: {sent}; {batch.seconds['all']:.1f} s ({parts}){age}"]
    lines += [f"  held back: {name}: {why}" for name, why in batch.held.items()]
    lines += [f"  failed: {what}" for what in batch.failed]
    return "\n".join(lines)
