"""Which files of a folder are new, told by path and by content.

A file that only grew is read from where it ended, also when it was renamed meanwhile (a rotated log). One whose content
was read before under another name is not read again. One that changed otherwise is read whole: its rows land once more
and later versions win downstream. A file that cannot be read is tried again when it changes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdp.errors import ConfigurationError
from cdp.settings import Settings
from cdp.sources import Source, Table

_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Pending:
    """A file (or the new end of it) that is to be read: `start` is the first byte, `line` its line number, `size` the end."""

    origin: str
    path: Path
    size: int
    start: int = 0
    line: int = 1


@dataclass
class Manifest:
    """What was read before. Lives in the pipeline's state, so it is committed with the rows or not at all.

    `files`: origin -> size, mtime (ns), sha256 of that many bytes, and where the next reading starts: `complete` bytes
    and `lines` before it. A last line without an end lies behind `complete`; `landed` says whether it was taken as it was.
    `digests`: sha256 -> origin of everything that was read.
    `superseded`: (origin, position) of quarantined rows that this run reads a second time; position 0 is a whole file.
    """

    files: dict[str, dict[str, Any]]
    digests: dict[str, str]
    superseded: list[tuple[str, int]] = field(default_factory=list)

    def pending(self, folder: Path, pattern: str) -> list[Pending]:
        """New work in the order of file names."""
        present = _present(folder, pattern)
        moved = {n: e for n, e in self.files.items() if n not in present or present[n][1] < e["size"]}
        found: list[Pending] = []
        for origin, (path, size, mtime, ctime) in present.items():
            before = self.files.get(origin)
            if before and _is_unchanged(before, size, mtime, ctime):
                continue
            work = self._look(origin, path, before, moved)
            if work:
                found.append(work)
        return found

    def _look(
        self, origin: str, path: Path, before: dict[str, Any] | None, moved: dict[str, dict[str, Any]]
    ) -> Pending | None:
        if before and not before["sha256"]:
            self.superseded.append((origin, 0))
        try:
            stat = path.stat()
            candidates = {origin: before} if before else {n: e for n, e in moved.items() if e["size"] <= stat.st_size}
            digest, heads, size = _digests(path, stat.st_size, {e["size"] for e in candidates.values()})
        except FileNotFoundError:
            return None
        except OSError:
            return Pending(origin, path, 0)  # reading it will say why
        entry = {"size": size, "mtime": stat.st_mtime_ns, "sha256": digest, "complete": 0, "lines": 0, "landed": False}
        if before and before["sha256"] == digest:
            self.files[origin] = before | {"mtime": stat.st_mtime_ns}
            return None
        if (not before or not before["sha256"]) and digest in self.digests:
            original = self.files.get(self.digests[digest], {})
            known = original if original.get("sha256") == digest else {}
            self.files[origin] = entry | {k: known[k] for k in ("complete", "lines", "landed") if k in known}
            return None
        self.files[origin] = entry
        for name, head in candidates.items():
            if heads.get(head["size"]) == head["sha256"] and can_grow(path):
                return self._rest_of(Pending(origin, path, size), name, head)
        return Pending(origin, path, size)

    def _rest_of(self, file: Pending, name: str, head: dict[str, Any]) -> Pending:
        """What is new of a file whose first part was read under `name`."""
        line = head["lines"] + 1
        if head.get("landed") and _ends_line_at(file.path, head["size"]):
            return Pending(file.origin, file.path, file.size, head["size"], line)
        if head["complete"] < head["size"]:
            self.superseded.append((name, line))
        return Pending(file.origin, file.path, file.size, head["complete"], line)

    def read_to(self, file: Pending, *, complete: int, lines: int, landed: bool) -> None:
        """Note that the file was read to its end, up to `complete` in whole lines."""
        entry = self.files[file.origin]
        entry |= {"complete": complete, "lines": lines, "landed": landed}
        if entry["sha256"]:
            self.digests[entry["sha256"]] = file.origin

    def set_aside(self, file: Pending) -> None:
        """Note that the file cannot be read as it is now."""
        try:
            stat = file.path.stat()
            looks = {"size": stat.st_size, "mtime": stat.st_mtime_ns, "ctime": stat.st_ctime_ns}
        except OSError:
            looks = {"size": 0, "mtime": 0, "ctime": 0}
        self.files[file.origin] = looks | {"sha256": "", "complete": 0, "lines": 0, "landed": False}

    def forget(self, origins: list[str]) -> None:
        """Read these files again that could not be read."""
        for origin in origins:
            if origin in self.files and not self.files[origin]["sha256"]:
                del self.files[origin]
                self.superseded.append((origin, 0))


def has_new_files(folder: Path, tables: dict[str, Table], known: dict[str, dict[str, Any]]) -> bool:
    """Whether a run would read anything, from names, sizes and times alone. `known`: files of each table."""
    for name, table in tables.items():
        files = known.get(name, {})
        for origin, (_, size, mtime, ctime) in _present(folder, table.files or "").items():
            if origin not in files or not _is_unchanged(files[origin], size, mtime, ctime):
                return True
    return False


def folder_of(source: Source, settings: Settings) -> Path:
    """The folder below which the source's files are; `{shared_data}` in `root` is the setting of that name.

    Raises ConfigurationError when there is no such folder.
    """
    if source.root is None:
        folder = settings.landing_path
    else:
        names = {name: str(getattr(settings, name)) for name in type(settings).model_fields}
        try:
            folder = settings.absolute(Path(source.root.format(**names)))
        except (KeyError, ValueError, IndexError) as error:
            raise ConfigurationError(
                f"root: unknown setting {error}",
                where=f"ingest/sources/{source.name}.yml",
                expected="the name of a setting",
            ) from None
    if not folder.is_dir():
        raise ConfigurationError(
            "the folder of the files does not exist",
            where=str(folder),
            expected=f"files of source {source.name}",
            fix="set CDP_LANDING_DIR (or the source's root), or generate the demo world with `cdp world generate`",
        )
    return folder


def _present(folder: Path, pattern: str) -> dict[str, tuple[Path, int, int, int]]:
    found = {}
    for path in folder.glob(pattern):
        try:
            stat = path.stat()
        except OSError:
            continue
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = (path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return dict(sorted(found.items()))


def _is_unchanged(before: dict[str, Any], size: int, mtime: int, ctime: int) -> bool:
    # of a file that could not be read a change of its rights counts too
    return bool(before["size"] == size and before["mtime"] == mtime and before.get("ctime", ctime) == ctime)


def can_grow(path: Path) -> bool:
    """Whether a file of this kind can have rows added at its end."""
    return not path.name.endswith((".parquet", ".gz"))


def _ends_line_at(path: Path, position: int) -> bool:
    with path.open("rb") as file:
        file.seek(position)
        return file.read(2)[:1] in (b"\n", b"\r")


def _digests(path: Path, size: int, prefixes: set[int]) -> tuple[str, dict[int, str], int]:
    """SHA-256 of the first `size` bytes and of each prefix, and how many bytes there were: the file may grow meanwhile."""
    whole, heads, done = hashlib.sha256(), {}, 0
    stops = sorted(p for p in prefixes if 0 < p <= size)
    with path.open("rb") as file:
        while done < size:
            end = stops[0] if stops else size
            chunk = file.read(min(_CHUNK, end - done))
            if not chunk:
                break
            whole.update(chunk)
            done += len(chunk)
            if stops and done == stops[0]:
                heads[stops.pop(0)] = whole.copy().hexdigest()
    return whole.hexdigest(), heads, done
