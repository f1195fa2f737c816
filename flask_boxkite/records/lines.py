"""The lines of record files, a few megabytes at a time.

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

__all__ = ["LINE_LIMITS", "MOST_VALUES", "LineLimits", "Opens", "lines_of"]

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


def lines_of(
    folder: Opens, files: Iterable[RecordFile], counts: ReadCounts, limits: LineLimits
) -> Iterator[list[bytes]]:
    """Yield lines, some megabytes at a time, across files, because most files are small.

    Args:
        folder: Folder of the files, or several.
        files: Files, in the order of time.
        counts: Counts, to which files and damage are added.
        limits: Limits of the bytes in memory.

    Raises:
        BoxkiteError: A file cannot be read.
    """
    lines: list[bytes] = []
    size = 0
    for file in files:
        try:
            with folder.open(file) as stream:
                for block in _blocks(stream, counts, limits):
                    filled = list(filter(None, block))
                    if len(filled) < len(block):
                        counts.damaged[EMPTY] += len(block) - len(filled)
                    lines += filled
                    size += sum(map(len, filled))
                    if size >= limits.chunk_bytes:
                        yield lines
                        lines, size = [], 0
        except FileNotFoundError:
            counts.vanished += 1
        except OSError as error:
            why = printable(f"'{file.path}' cannot be read: {error}")
            msg = f"Records in {why}. Give this user the right to, or move the file."
            raise BoxkiteError(msg) from error
        else:
            counts.files += 1

    yield lines


def _blocks(stream: IO[bytes], counts: ReadCounts, limits: LineLimits) -> Iterator[list[bytes]]:
    """Yield the lines that end in each piece of a file."""
    rest: list[bytes] = []  # of a line that has not ended
    size = 0
    try:
        while data := stream.read(limits.chunk_bytes):
            first, *lines = data.split(b"\n")
            rest.append(first)
            size += len(first)
            if size > limits.longest_line_bytes:
                rest = []
            if lines:
                yield [*_joined(rest, size, counts, limits), *lines[:-1]]
                rest, size = [lines[-1]], len(lines[-1])
    except GZIP_DAMAGE:
        counts.damaged[CUT] += 1
    else:
        yield _joined(rest, size, counts, limits) if size else []


def _joined(parts: list[bytes], size: int, counts: ReadCounts, limits: LineLimits) -> list[bytes]:
    """Return a list of the line that consists of some parts; empty if the line is too large."""
    if size > limits.longest_line_bytes:
        counts.damaged[TOO_LONG] += 1
        return []
    line = b"".join(parts)
    if size > limits.chunk_bytes and line.count(b",") + line.count(b"[") + line.count(b"{") > MOST_VALUES:
        counts.damaged[TOO_LARGE] += 1
        return []
    return [line]
