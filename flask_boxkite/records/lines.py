"""The lines of record files, in blocks of half a megabyte.

Others may write into the files too, so a line may have at most 32 MiB and 2,000,000 values; a larger line is damage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.quoting import printable
from flask_boxkite.records.folders import GZIP_DAMAGE, RecordFile
from flask_boxkite.records.read_counts import CUT, EMPTY, TOO_LARGE, TOO_LONG, ReadCounts

__all__ = ["LINE_LIMITS", "MOST_VALUES", "LineLimits", "Opens", "blocks_of", "lines_in"]

MOST_VALUES = 2_000_000
"""Most values in one record, and in the rows of the records that are yielded at once."""


@dataclass(frozen=True)
class LineLimits:
    """Limits of the bytes in memory.

    Attributes:
        chunk_bytes: Bytes of lines that are read at once.
        longest_line_bytes: Most bytes of a line; a foreign file may have lines without end.
    """

    chunk_bytes: int = 1 << 20
    longest_line_bytes: int = 32 << 20


LINE_LIMITS = LineLimits()


class Opens(Protocol):
    """A folder of files, or several, which opens them."""

    def open(self, file: RecordFile) -> IO[bytes]:
        """Open a file.

        Raises:
            OSError: The file cannot be opened.
        """


def blocks_of(folder: Opens, files: Iterable[RecordFile], counts: ReadCounts, limits: LineLimits) -> Iterator[bytes]:
    """Yield blocks of whole lines, each of which ends; across files, because most files are small.

    Args:
        folder: Folder of the files, or several.
        files: Files, in the order of time.
        counts: Counts, to which files and damage are added.
        limits: Limits of the bytes in memory.

    Raises:
        BoxkiteError: A file cannot be read.
    """
    pieces: list[bytes] = []
    size = 0
    for file in files:
        try:
            with folder.open(file) as stream:
                for piece in _pieces(stream, counts, limits):
                    pieces.append(piece)
                    size += len(piece)
                    if size >= limits.chunk_bytes // 2:
                        yield b"".join(pieces)
                        pieces, size = [], 0
        except FileNotFoundError:
            counts.vanished += 1
        except OSError as error:
            why = printable(f"'{file.path}' cannot be read: {error}")
            msg = f"Records in {why}. Give this user the right to, or move the file."
            raise BoxkiteError(msg) from error
        else:
            counts.files += 1

    if pieces:
        yield b"".join(pieces)


def lines_in(block: bytes, counts: ReadCounts) -> list[bytes]:
    """Return the lines of a block; count the empty ones."""
    lines = block.split(b"\n")
    filled = list(filter(None, lines))
    if empty := len(lines) - 1 - len(filled):  # nothing stands behind the last end
        counts.damaged[EMPTY] += empty
    return filled


def _pieces(stream: IO[bytes], counts: ReadCounts, limits: LineLimits) -> Iterator[bytes]:
    """Yield the whole lines of a file."""
    rest: list[bytes] = []  # of a line that has not ended
    size = 0
    try:
        while data := stream.read(limits.chunk_bytes):
            first, last = data.find(b"\n") + 1, data.rfind(b"\n") + 1
            if first:
                yield _line([*rest, data[:first]], size + first - 1, counts, limits)
                yield data[first:last]
                rest, size = [], 0
            rest.append(data[last:])
            size += len(data) - last
            if size > limits.longest_line_bytes:
                rest = []
    except GZIP_DAMAGE:
        counts.damaged[CUT] += 1
    else:
        if size:
            yield _line([*rest, b"\n"], size, counts, limits)


def _line(parts: list[bytes], size: int, counts: ReadCounts, limits: LineLimits) -> bytes:
    """Return the line that consists of some parts; nothing if it is too large."""
    if size > limits.longest_line_bytes:
        counts.damaged[TOO_LONG] += 1
        return b""
    line = b"".join(parts)
    if size > limits.chunk_bytes and line.count(b",") + line.count(b"[") + line.count(b"{") > MOST_VALUES:
        counts.damaged[TOO_LARGE] += 1
        return b""
    return line
