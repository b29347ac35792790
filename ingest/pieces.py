"""The bytes of text files in pieces of bounded size that end where a line ends."""

from __future__ import annotations

import codecs
import errno
import gzip
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdp.sources import Table
from ingest.json_rows import Lines, cut_lines
from ingest.manifest import Pending
from ingest.typing import Rejected

PIECE_BYTES = 16 * 1024 * 1024
# A longer line is not landed: it would not fit through memory with its neighbours.
MAX_LINE_BYTES = 32 * 1024 * 1024
SHOWN_OF_LONG_LINE = 1000
TOO_LONG = f"is longer than {MAX_LINE_BYTES // 1024**2} MiB; only its beginning is kept here"
CUT_OFF = "is cut off: the last line of the file has no end"
UNREADABLE = (OSError, EOFError, zlib.error, UnicodeError)


class Unreadable(Exception):
    """A whole file cannot be read; the text says why, without anything of its content."""


@dataclass(frozen=True)
class Piece:
    """Whole lines; `line` is the number of the first, `ends` where each line ends. `is_last`: up to the end, where the
    last line may have no end.

    `too_long`: the beginning of one line that is left out because of its length.
    """

    data: bytes
    line: int
    ends: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    is_last: bool = False
    too_long: bool = False


def is_whole(file: Pending, table: Table) -> bool:
    """Whether the file can only be read as a whole: compressed, or in an encoding whose lines do not end with byte 10."""
    return file.path.name.endswith(".gz") or not _is_line_safe(table.encoding)


def plain_path(file: Pending, table: Table, scratch: Path) -> Path:
    """The path to read: the file itself, or an unpacked copy in UTF-8. Raises Unreadable, so that nothing lands of it."""
    try:
        if not is_whole(file, table):
            with file.path.open("rb") as opened:
                if table.encoding == "utf-8" and opened.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                    raise Unreadable('is UTF-16; declare "encoding: utf-16"')
            return file.path
        copy = scratch / "plain"
        with gzip.open(file.path, "rb") if file.path.name.endswith(".gz") else file.path.open("rb") as packed:
            if _is_line_safe(table.encoding):
                with copy.open("wb") as target:
                    shutil.copyfileobj(packed, target, PIECE_BYTES)
            else:
                reader = codecs.getreader(table.encoding)(packed)
                with copy.open("w", encoding="utf-8", newline="") as text:
                    shutil.copyfileobj(reader, text, PIECE_BYTES)
        return copy
    except UNREADABLE as error:
        if is_of_the_machine(error):
            raise
        raise Unreadable(reason_of(error)) from None


def is_of_the_machine(error: BaseException) -> bool:
    """Whether the file is not to blame: no room for the unpacked copy, no more open files, no memory."""
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
    return isinstance(error, OSError) and error.errno in numbers


def reason_of(error: BaseException) -> str:
    """Why a file cannot be read, without its content."""
    if isinstance(error, UnicodeDecodeError):
        return f"is not {error.encoding} at byte {error.start}"
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return "is damaged or cut off: the compressed data does not end as it should"
    if isinstance(error, OSError):
        return f"cannot be opened: {error.strerror or type(error).__name__}"
    return f"cannot be read: {type(error).__name__}"


def pieces(path: Path, start: int, line: int, end: int | None) -> Iterator[Piece]:
    """Read `path` from byte `start` (line number `line`) to byte `end`. Always gives a last piece, if need be an empty one."""
    carry = b""
    with path.open("rb") as file:
        file.seek(start)
        if start == 0 and file.read(3) != codecs.BOM_UTF8:
            file.seek(0)
        while True:
            left = PIECE_BYTES if end is None else min(PIECE_BYTES, end - file.tell())
            chunk = file.read(left) if left > 0 else b""
            if not chunk:
                break
            data = carry + chunk
            ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
            if not len(ends) and len(data) > MAX_LINE_BYTES:
                yield Piece(data[:SHOWN_OF_LONG_LINE], line, too_long=True)
                carry, line = _after_line(file, end), line + 1
                continue
            if len(ends) and ends[0] > MAX_LINE_BYTES:
                yield Piece(data[:SHOWN_OF_LONG_LINE], line, too_long=True)
                data, ends, line = data[ends[0] :], ends[1:] - ends[0], line + 1
            cut = int(ends[-1]) if len(ends) else 0
            carry = data[cut:]
            if cut:
                yield Piece(data[:cut], line, ends)
                line += len(ends)
    yield Piece(carry, line, is_last=True)


def decoded(piece: Piece, origin: str, encoding: str) -> tuple[Lines | None, list[Rejected]]:
    """The lines of a piece as UTF-8, and those that are not written in `encoding`."""
    if not piece.data:
        return None, []
    try:
        if encoding == "utf-8":
            return cut_lines(origin, piece.data, piece.line, piece.ends), []
        return cut_lines(origin, piece.data.decode(encoding).encode(), piece.line), []
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return _line_by_line(piece, origin, encoding)


def too_long(piece: Piece, origin: str, encoding: str) -> Rejected:
    """The rejection of a line that is left out because of its length."""
    return Rejected(origin, piece.line, TOO_LONG, piece.data.decode(encoding, errors="replace"))


def _line_by_line(piece: Piece, origin: str, encoding: str) -> tuple[Lines | None, list[Rejected]]:
    numbers: list[int] = []
    texts: list[str] = []
    rejected: list[Rejected] = []
    split = piece.data.split(b"\n")
    for number, raw in enumerate(split[:-1] if split[-1] == b"" else split, piece.line):
        try:
            texts.append(raw.decode(encoding))
            numbers.append(number)
        except UnicodeDecodeError:
            text = raw.decode(encoding, errors="backslashreplace").rstrip("\r")
            rejected.append(Rejected(origin, number, f"is not {encoding}", text))
    return Lines(origin, pa.array(numbers, pa.int64()), pa.array(texts, pa.large_string())), rejected


def _after_line(file: object, end: int | None) -> bytes:
    """Skip to behind the next line's end; what was read beyond it."""
    while True:
        left = PIECE_BYTES if end is None else min(PIECE_BYTES, end - file.tell())  # type: ignore[attr-defined]
        chunk: bytes = file.read(left) if left > 0 else b""  # type: ignore[attr-defined]
        if not chunk:
            return b""
        cut = chunk.find(b"\n") + 1
        if cut:
            return chunk[cut:]


def text_encoding(table: Table) -> str:
    """The encoding of what `plain_path` gives."""
    return table.encoding if _is_line_safe(table.encoding) else "utf-8"


def _is_line_safe(encoding: str) -> bool:
    return "\n".encode(encoding) == b"\n"
