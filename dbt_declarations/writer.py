"""Brings generated files up to date: writes what differs, removes what is stale, does nothing when nothing changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cdp.settings import Settings

FOLDERS = (Path("models/generated"), Path("macros/generated"))
STAMP = Path("models/generated/.stamp.json")
# Folders below which a change of a declaration, a contract or the compiler itself counts.
_OWN_CODE = ("*.py", "kinds/*.py")
_SETTINGS = ("sources", "default_region", "reporting_currency")
_NOT_INPUT = {"target", "logs", "dbt_packages", "generated"}


def refresh(settings: Settings, compile_all: Callable[[Settings], dict[Path, str]]) -> list[Path]:
    """The generated files that were written or removed, relative to the dbt project.

    Nothing is compiled when the inputs and the files have the digests of the last run. Raises DeclarationError; then no
    file has been touched.
    """
    inputs = input_digest(settings)
    stamp = _read_stamp(settings.dbt_dir / STAMP)
    if stamp.get("inputs") == inputs and stamp.get("outputs") == _output_digests(settings.dbt_dir):
        return []
    files = compile_all(settings)
    changed = [p for p, text in sorted(files.items()) if _write(settings.dbt_dir / p, text)]
    stale = [p for p in _existing(settings.dbt_dir) if p not in files]
    for path in stale:
        (settings.dbt_dir / path).unlink(missing_ok=True)
    new_stamp = {"inputs": inputs, "outputs": _output_digests(settings.dbt_dir)}
    _write(settings.dbt_dir / STAMP, json.dumps(new_stamp, indent=1, sort_keys=True) + "\n")
    return [*changed, *stale]


def input_digest(settings: Settings) -> str:
    """A digest of everything that the generated files depend on."""
    digest = hashlib.sha256()
    for value in (getattr(settings, name) for name in _SETTINGS):
        digest.update(repr(value).encode())
    for path in _inputs(settings):
        digest.update(f"\0{path}\0".encode())
        # Of hand-written models only the names count; of everything else the content.
        if path.suffix != ".sql":
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _inputs(settings: Settings) -> Iterator[Path]:
    own = Path(__file__).parent
    for pattern in _OWN_CODE:
        yield from sorted(own.glob(pattern))
    yield from sorted((own.parent / "cdp").glob("*.py"))
    yield from sorted((own.parent / "cdp" / "identity").glob("matching_*.py"))
    yield from _below(settings.dbt_dir, (".yml", ".yaml", ".sql", ".csv"))
    yield from _below(settings.project_root / "ingest", (".yml", ".yaml"))


def _below(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in _NOT_INPUT and not f.startswith("."))
        yield from (Path(root, name) for name in sorted(files) if name.endswith(suffixes))


def _existing(dbt_dir: Path) -> list[Path]:
    found = (p for folder in FOLDERS for p in (dbt_dir / folder).rglob("*"))
    return sorted(p.relative_to(dbt_dir) for p in found if p.is_file() and not p.name.startswith("."))


def _output_digests(dbt_dir: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256((dbt_dir / p).read_bytes()).hexdigest() for p in _existing(dbt_dir)}


def _read_stamp(path: Path) -> dict[str, object]:
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write(path: Path, text: str) -> bool:
    """Write a file in one step when its text differs; a reader sees the old text or the new one, never a part."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return False
    except (OSError, UnicodeDecodeError):
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return True
