"""All emulators behind one loopback port: every module of `sources/` and `destinations/` is mounted under its name.

A module has either `create_app(world_dir, state_dir, faults) -> Starlette` and `environment(base_url) -> dict`, and
may set `FAULTS`, its usual FaultPlan; or, for what is not HTTP, `start(world_dir, state_dir)` whose result has
`environment()` and `stop()` (all three may be coroutines).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import json
import logging
import os
import pkgutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import uvicorn
from filelock import FileLock, Timeout
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from cdp.errors import BusyError
from demo.emulators import destinations, sources
from demo.emulators.faults import FaultPlan, Faults, control_endpoint
from demo.world.summary import read_summary

HOST = "127.0.0.1"
USUAL_FAULTS = FaultPlan(error_rate=0.005)

log = logging.getLogger("demo.emulators")


@dataclass(frozen=True)
class Places:
    """Where the server reads and writes: the world, and below the data directory its state and its whereabouts."""

    world_dir: Path
    data_dir: Path

    @property
    def state_dir(self) -> Path:
        """State of the emulators."""
        return self.data_dir / "emulators"

    @property
    def env_path(self) -> Path:
        """Base URLs and secrets, as settings read them."""
        return self.data_dir / "world.env"

    @property
    def server_path(self) -> Path:
        """Process id and port of the running server."""
        return self.state_dir / "server.json"

    @property
    def lock_path(self) -> Path:
        """Held by the running server for as long as it lives, however it ends."""
        return self.state_dir / "server.lock"


def modules() -> dict[str, ModuleType]:
    """The emulators by name. A name that is there twice is refused."""
    found: dict[str, ModuleType] = {}
    for package in (sources, destinations):
        for info in pkgutil.iter_modules(package.__path__):
            if info.name.startswith("_"):
                continue
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            if not hasattr(module, "create_app") and not hasattr(module, "start"):
                continue
            if info.name in found:
                raise ValueError(f"two emulators are called {info.name}")
            found[info.name] = module
    return found


def create_server(places: Places, base_url: str) -> Starlette:
    """One application with all emulators; starting it starts the others and writes world.env."""
    found = modules()
    faults = Faults({name: getattr(module, "FAULTS", USUAL_FAULTS) for name, module in found.items()})
    places.state_dir.mkdir(parents=True, exist_ok=True)
    routes: list[BaseRoute] = []
    lines: dict[str, str] = {}
    for name, module in found.items():
        if hasattr(module, "create_app"):
            control = control_endpoint(lambda _request, name=name: name, faults)  # type: ignore[misc]
            routes.append(Route(f"/{name}/_control", control, methods=["GET", "POST"]))
            routes.append(Mount(f"/{name}", module.create_app(places.world_dir, places.state_dir, faults)))
            lines.update(module.environment(f"{base_url}/{name}"))

    async def health(_request: Request) -> Response:
        return JSONResponse(
            {"pid": os.getpid(), "emulators": sorted(found), "as_of": read_summary(places.world_dir).as_of.isoformat()}
        )

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        running: list[Any] = []
        try:
            for module in found.values():
                if hasattr(module, "start"):
                    server = await _settled(module.start(places.world_dir, places.state_dir))
                    running.append(server)
                    lines.update(await _settled(server.environment()))
            _write_private(places.env_path, "".join(f"{key}={value}\n" for key, value in sorted(lines.items())))
            log.info("serving %s at %s", ", ".join(sorted(found)), base_url)
            yield
        finally:
            for server in reversed(running):
                await _settled(server.stop())

    return Starlette(routes=[Route("/_health", health), *routes], lifespan=lifespan)


def serve(places: Places, port: int = 0) -> None:
    """Run until told to stop (SIGINT, SIGTERM). Writes world.env and server.json, removes both at the end."""
    read_summary(places.world_dir)  # a clear error before anything is started
    places.state_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(places.lock_path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(
            "another server is running", where=str(places.server_path), fix="run `cdp world down`"
        ) from None
    with lock, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        port = listener.getsockname()[1]
        app = create_server(places, f"http://{HOST}:{port}")
        # No access log: its lines would hold tokens and identifiers that stand in query strings.
        server = uvicorn.Server(uvicorn.Config(app, log_level="info", access_log=False, lifespan="on"))
        _write_private(places.server_path, json.dumps({"pid": os.getpid(), "port": port}))
        try:
            server.run(sockets=[listener])
        finally:
            places.server_path.unlink(missing_ok=True)
            places.env_path.unlink(missing_ok=True)


async def _settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read."""
    unfinished = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)


def main() -> None:
    """`python -m demo.emulators.server --world DIR --data-dir DIR`."""
    parser = argparse.ArgumentParser(description="Serve the demo world's emulators.")
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    serve(Places(options.world.resolve(), options.data_dir.resolve()), options.port)


if __name__ == "__main__":
    main()
