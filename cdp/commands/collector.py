"""`cdp collector`: take events over HTTP, look at what came, send it through again."""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import typer

from cdp.commands.output import JsonOption, print_json, print_table

From = Annotated[str, typer.Option("--from", help="ISO 8601, UTC: received at or after this.")]
To = Annotated[str, typer.Option("--to", help="ISO 8601, UTC: received before this.")]

app = typer.Typer(
    no_args_is_help=True, help="The HTTP collector: events of SDKs and webhooks, durable before it answers."
)


@app.command()
def serve(
    port: Annotated[
        int | None, typer.Option(help="Loopback port instead of CDP_COLLECTOR_PORT; 0: a free one.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Serve until interrupted. SIGHUP reads keys, inputs and tracking plan anew.

    Example: cdp collector serve --port 8787

    Exit codes: 0 ended, 2 a declaration is wrong, 3 no key is set or folder or port cannot be used, 4 another collector
    writes this log.
    """
    from cdp.settings import get_settings
    from ingest.collector.server import Serving
    from ingest.collector.server import serve as run

    def started(serving: Serving) -> None:
        if json_:
            print_json(serving.__dict__)
            return
        typer.echo(f"Collecting on http://127.0.0.1:{serving.port} for {', '.join(serving.inputs)}.")
        for name, missing in serving.closed.items():
            typer.echo(f"  {name} is closed: set {', '.join(missing)} to open it")
        if serving.recovered_records or serving.torn_bytes:
            typer.echo(
                f"  recovered {serving.recovered_records} records of an earlier run; {serving.torn_bytes} bytes behind the "
                "last whole one were set aside"
            )

    run(get_settings(), port=port, started=started)


@app.command()
def tail(
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Records to begin with.")] = 10,
    follow: Annotated[bool, typer.Option(help="Go on as records come.")] = True,
    source: Annotated[str, typer.Option(help="Only of this input.")] = "",
    json_: JsonOption = False,
) -> None:
    """Show what comes, as it becomes durable. Ids are shown as shapes, properties by their names only.

    Example: cdp collector tail --source web

    Exit codes: 0 shown, 3 there is no log, 130 interrupted.
    """
    import json

    from cdp.settings import get_settings
    from ingest.collector import looking

    folder = get_settings().collector_path
    looking.check_folder(folder)
    records = looking.newest(folder, lines)
    start = records[-1]["sequence"] + 1 if records else looking.next_number(folder)
    following = looking.follow(folder, start) if follow else iter(())
    for record in chain(records, following):
        if source and record.get("source") != source:
            continue
        shown = looking.masked(record)
        if json_:
            typer.echo(json.dumps(shown, ensure_ascii=False))
        else:
            what = "  ".join(v for k, v in shown.items() if v and k not in ("sequence", "received_at"))
            typer.echo(f"{shown['sequence']:>8} {shown['received_at']}  {what}")


@app.command()
def stats(since: From = "", until: To = "", json_: JsonOption = False) -> None:
    """How many records came, by input, type and event, from the closed segments.

    Example: cdp collector stats --from 2026-03-01T00:00:00Z

    Exit codes: 0 shown, 3 there is no log.
    """
    from cdp.settings import get_settings
    from ingest.collector import looking

    folder = get_settings().collector_path
    looking.check_folder(folder)
    found = looking.figures(folder, _moment(since), _moment(until))
    if json_:
        print_json([figure.__dict__ for figure in found])
        return
    rows = [(f.source, f.kind, f.name, f.records, f.first_at, f.last_at) for f in found]
    print_table("Closed segments", ["input", "kind", "name", "records", "first", "last"], rows)
    typer.echo(f"{sum(f.records for f in found):,} records.")


@app.command()
def replay(
    since: From,
    until: To,
    url: Annotated[str, typer.Option(help="Send the events to this collector instead of landing them.")] = "",
    json_: JsonOption = False,
) -> None:
    """Send a period through again: land what raw lacks of it, or send its events to another collector (`--url`, with
    CDP_COLLECTOR__REPLAY_KEY). Either way each record counts once.

    Example: cdp collector replay --from 2026-03-01T00:00:00Z --to 2026-03-02T00:00:00Z

    Exit codes: 0 done, 1 refused, 2 a time cannot be read, 3 there is no log or no key, 4 the warehouse is busy.
    """
    from cdp.settings import get_settings, required_connection
    from cdp.warehouse import writer_lock
    from ingest.collector import looking

    settings = get_settings()
    looking.check_folder(settings.collector_path)
    start, end = _moment(since), _moment(until)
    if url:
        from ingest.collector.resending import resend

        key = required_connection("collector", ["replay_key"], settings)["replay_key"]
        sent = resend(settings.collector_path, url, key, start, end)
        done = {"sent": sent}
        told = f"{sent:,} events sent."
    else:
        from ingest.kinds.collector import replay_log

        with writer_lock(settings):
            loaded = replay_log(settings, start, end)
        done = {"landed": loaded.total, "quarantined": loaded.quarantined}
        told = f"{loaded.total:,} records landed that raw lacked, {loaded.quarantined:,} set aside."
    if json_:
        print_json(done)
    else:
        typer.echo(told)


@app.command()
def token(
    name: Annotated[str, typer.Argument(metavar="INPUT", help="The input the key is for.")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is good.")] = 90,
) -> None:
    """Print a signed key of a server: `Authorization: Bearer <key>`. Needs CDP_COLLECTOR__<INPUT>_SIGNING_SECRETS.

    Example: cdp collector token server --days 30

    Exit codes: 0 printed, 3 there is no such input or no secret.
    """
    from cdp.settings import get_settings
    from ingest.collector.keys import signed_key

    typer.echo(signed_key(get_settings(), name, days))


def _moment(text: str) -> str:
    """An ISO 8601 time as records have it. Raises DeclarationError."""
    from datetime import UTC, datetime

    from cdp.errors import DeclarationError

    if not text:
        return ""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DeclarationError(
            f'"{text}" is not a time', where="--from, --to", expected="2026-03-01T00:00:00Z"
        ) from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
