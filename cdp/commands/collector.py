"""`cdp collector`: take events over HTTP, look at what came, send it through again."""

from __future__ import annotations

from typing import Annotated

import typer

from cdp.commands.output import JsonOption, print_json

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

    Example: CDP_COLLECTOR__WEB_KEYS=wk_1 cdp collector serve

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
