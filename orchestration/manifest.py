"""dbt's manifest, made anew when something that decides it has changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from cdp.errors import ConfigurationError, DeclarationError
from cdp.settings import Settings
from orchestration import dbt_server

_SKIPPED = {"target", "logs", "generated", "dbt_packages"}


def is_current(settings: Settings) -> bool:
    """Whether the manifest there is fits the files and the active sources as they are now."""
    manifest, digest = _files(settings)
    return manifest.exists() and digest.exists() and digest.read_text(encoding="ascii") == digest_of(settings)


def _files(settings: Settings) -> tuple[Path, Path]:
    folder = settings.path("dbt")
    return folder / "manifest.json", folder / "manifest.digest"


def manifest_path(settings: Settings) -> Path:
    """Path of a manifest that fits the files and the active sources as they are now. Parses the project when needed."""
    manifest, digest_file = _files(settings)
    if is_current(settings):
        return manifest
    folder, digest = manifest.parent, digest_of(settings)
    folder.mkdir(parents=True, exist_ok=True)
    server = dbt_server.current()
    code, output = server.parsed() if server else _parse(settings)
    if code and "No space left on device" in output:
        raise ConfigurationError(
            "there is no room left to write", where=str(folder), fix="free space, or set CDP_DATA_DIR to another folder"
        )
    if code:
        raise DeclarationError(_message(output), where="dbt parse")
    digest_file.write_text(digest, encoding="ascii")
    return manifest


def _parse(settings: Settings) -> tuple[int, str]:
    run = subprocess.run(
        [str(Path(sys.executable).with_name("dbt")), *dbt_server.PARSE],
        cwd=settings.dbt_dir,
        env={**os.environ, **settings.dbt_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout or run.stderr


def digest_of(settings: Settings) -> str:
    """A digest that changes with every file that decides the manifest: names, sizes and times. A project that was moved keeps it."""
    found = hashlib.sha256(settings.sources.encode())
    folders = [
        settings.dbt_dir,
        settings.project_root / "ingest" / "sources",
        settings.project_root / "ingest" / "tracking_plan",
        settings.project_root / "dbt_declarations",
    ]
    for folder in folders:
        for path in sorted(
            p for p in folder.rglob("*") if p.is_file() and not _SKIPPED & set(p.relative_to(folder).parts)
        ):
            if path.suffix in (".yml", ".sql", ".csv", ".py", ".md"):
                stat = path.stat()
                name = path.relative_to(settings.project_root).as_posix()
                found.update(f"{name}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _message(output: str) -> str:
    """dbt's own words without its time stamps."""
    lines = [line.split("  ", 1)[-1] if line[:2].isdigit() else line for line in output.splitlines()]
    start = next((i for i, line in enumerate(lines) if "error" in line.lower()), 0)
    return "\n".join(lines[start:])[:4000]
