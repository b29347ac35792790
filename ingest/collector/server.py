"""Runs the collector: one process, one event loop, one log. SIGTERM ends it in order, SIGHUP reads keys and plan anew."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from cdp.errors import CdpError, ConfigurationError
from cdp.settings import Settings
from ingest.collector.app import Collector
from ingest.collector.guard import guarded
from ingest.collector.keys import open_doors
from ingest.collector.limits import limits_of
from ingest.collector.log import Log
from ingest.collector.plan import plan_validator

HOST = "127.0.0.1"
BACKLOG = 2048
# the log's thread must not wait 5 ms, Python's default, for its turn after each sync
SWITCH_SECONDS = 0.0005

logger = logging.getLogger("cdp.collector")


@dataclass(frozen=True)
class Serving:
    """What is told when the collector listens."""

    port: int
    inputs: list[str]
    closed: dict[str, list[str]]
    next_sequence: int
    recovered_records: int
    torn_bytes: int


def serve(settings: Settings, *, port: int | None = None, started: Callable[[Serving], None] = lambda _: None) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError, BusyError, DeclarationError before it listens."""
    sys.setswitchinterval(SWITCH_SECONDS)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    doors = open_doors(settings)
    limits = limits_of(settings)
    listening = _listen(settings.collector_port if port is None else port)
    log = Log(
        settings.collector_path,
        segment_bytes=settings.collector_segment_mb * 1024**2,
        rotate_seconds=settings.collector_rotate_seconds,
        queue_bytes=limits.queue_bytes,
    )
    log.open()
    app = Collector(log, doors, limits, validator=plan_validator(settings, doors.names))
    _settle()
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=guarded(limits.slow_seconds, limits.connections),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,  # longer than the pause between two flushes of any SDK
        timeout_graceful_shutdown=10,
        backlog=BACKLOG,
    )
    server = _Server(config, app, settings)
    port_found = listening.getsockname()[1]
    counters = log.counters
    started(
        Serving(
            port_found, doors.names, doors.closed, log.next_sequence, counters.recovered_records, counters.torn_bytes
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn ends in order, and then raises the signal once more
    server.run(sockets=[listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: Collector, settings: Settings) -> None:
        super().__init__(config)
        self._collector, self._settings = app, settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._collector.is_leaving = True
        await super().shutdown(sockets)

    def _reload(self) -> None:
        """New keys and a new tracking plan; what is wrong leaves the old ones in force."""
        try:
            doors = open_doors(self._settings)
            validator = plan_validator(self._settings, doors.names)
        except CdpError as error:
            logger.error("keys and plan stay as they were: %s", error.render())
            return
        self._collector.doors, self._collector.validator = doors, validator
        _settle()
        logger.warning("keys and plan were read anew: %s", ", ".join(doors.names))


def _settle() -> None:
    """What was made until now stays, so garbage is not looked for in it again. A plan of 200 events is tens of thousands of
    objects: walking them with each collection cost more than judging by them."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(BACKLOG)  # who connects from now on is served as soon as the loop runs
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"cannot listen: {error.strerror}",
            where=f"{HOST}:{port}",
            expected="a free port",
            fix="end what listens there, or set CDP_COLLECTOR_PORT",
        ) from None
    return listening
