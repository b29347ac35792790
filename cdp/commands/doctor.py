"""`cdp doctor`: what is wrong with this machine or configuration, and how to mend it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from cdp.commands.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from cdp.settings import Settings

FREE_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `fix` is empty when it is in order."""

    what: str
    ok: bool
    found: str
    fix: str = ""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("doctor")(doctor)


def doctor(json_: JsonOption = False) -> None:
    """Look for what is wrong with this machine or configuration, and say how to mend it.

    Example: cdp doctor

    Exit codes: 0 all in order, 3 something is to be mended.
    """
    from cdp.settings import get_settings

    settings = get_settings()
    findings = [look(settings) for look in _LOOKS]
    findings += _connections(settings)
    if json_:
        print_json([f.__dict__ for f in findings])
    else:
        print_table(
            "Doctor",
            ["", "what", "found", "to do"],
            [("ok" if f.ok else "!!", f.what, f.found, f.fix) for f in findings],
        )
    raise typer.Exit(0 if all(f.ok for f in findings) else 3)


def _python(settings: Settings) -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "Python",
        (3, 11) <= sys.version_info[:2] < (3, 14),
        found,
        "" if sys.version_info[:2] >= (3, 11) else "use Python 3.11 to 3.13",
    )


def _versions(settings: Settings) -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    wanted: dict[str, set[str]] = {}
    for line in (settings.project_root / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            name, rest = line.split("==", 1)
            wanted.setdefault(name, set()).add(rest.split(" ")[0].strip("\\ "))
    wrong = []
    for name in ("duckdb", "dbt-core", "dbt-duckdb", "dagster", "dlt", "great-expectations", "sqlglot"):
        try:
            if version(name) not in wanted.get(name, set()):
                wrong.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            wrong.append(f"{name} is missing")
    return Finding("packages", not wrong, ", ".join(wrong) or "as locked", "make install" if wrong else "")


def _data_dir(settings: Settings) -> Finding:
    folder = settings.path()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        return Finding(
            "data folder",
            False,
            f"{folder}: {error.strerror}",
            "make it writable, or set CDP_DATA_DIR to another folder",
        )
    free = shutil.disk_usage(folder).free
    low = free < FREE_BYTES
    return Finding(
        "data folder", not low, f"{folder}, {free / 1024**3:.1f} GB free", "free at least 2 GB" if low else ""
    )


def _declarations(settings: Settings) -> Finding:
    from cdp.errors import CdpError
    from dbt_declarations import compile_all

    try:
        files = compile_all(settings)
    except CdpError as error:
        return Finding("declarations", False, error.render().splitlines()[0], "cdp declarations check")
    return Finding("declarations", True, f"{len(files)} generated files")


def _plugin(settings: Settings) -> Finding:
    import pkgutil

    seen = any(m.name == "dbt_declarations" for m in pkgutil.iter_modules())
    return Finding(
        "dbt plugin", seen, "found" if seen else "dbt does not see dbt_declarations", "" if seen else "make install"
    )


def _warehouse(settings: Settings) -> Finding:
    from cdp.errors import CdpError
    from cdp.warehouse import open_database

    path = settings.warehouse_path
    if not path.exists():
        return Finding("warehouse", True, "none yet", "cdp run")
    try:
        open_database(path, read_only=True, settings=settings).close()
    except CdpError as error:
        return Finding("warehouse", False, error.what, error.fix)
    return Finding("warehouse", True, f"{path}, {path.stat().st_size / 1024**2:.0f} MB")


def _landing(settings: Settings) -> Finding:
    folder = settings.landing_path
    return Finding(
        "landing folder",
        folder.is_dir(),
        str(folder),
        "" if folder.is_dir() else "set CDP_LANDING_DIR, or `cdp world generate`",
    )


_LOOKS: list[Callable[[Settings], Finding]] = [
    _python,
    _versions,
    _data_dir,
    _plugin,
    _declarations,
    _landing,
    _warehouse,
]


def _connections(settings: Settings) -> list[Finding]:
    """Settings that active sources and syncs need, and whether their servers can be reached."""
    from cdp.settings import connection
    from cdp.sources import active_sources
    from reverse_etl.catalog import resolve
    from reverse_etl.engine import sync_names

    needed = {name: list(d.value.connection) for name, d in active_sources(settings).items() if d.value.connection}
    for name in sync_names(settings):
        spec = resolve(name, settings).spec
        needed.setdefault(spec.name, []).extend(k for k in spec.required_settings if k not in needed.get(spec.name, []))
    findings = []
    for name, keys in sorted(needed.items()):
        found = connection(name, settings)
        missing = [f"CDP_{name.upper()}__{key.upper()}" for key in keys if not found.get(key)]
        if missing:
            findings.append(
                Finding(
                    f"settings of {name}",
                    False,
                    "missing: " + ", ".join(missing),
                    "set them in the environment or .env (demo: `cdp world up`)",
                )
            )
        elif url := found.get("base_url"):
            findings.append(_reachable(name, url))
    return findings


def _reachable(name: str, url: str) -> Finding:
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=3):
            return Finding(f"server of {name}", True, f"{parts.hostname}:{port} answers")
    except OSError as error:
        return Finding(
            f"server of {name}",
            False,
            f"{parts.hostname}:{port}: {error.strerror or error}",
            "start it (demo: `cdp world up`), or correct the base URL",
        )
