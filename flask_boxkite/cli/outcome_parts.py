"""A file of outcomes in parts, each a request to a server's route."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.outcomes.book_file import AT_ONCE

__all__ = ["Part", "parts_of"]

MOST_BYTES = 1024 * 1024

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")


class Part(NamedTuple):
    """Some outcomes of a file.

    Attributes:
        first: Number of the first of them in the file, from 1 on.
        size: Number of outcomes.
        content_type: Type of the body.
        body: Body of the request.
    """

    first: int
    size: int
    content_type: str
    body: bytes


def parts_of(path: Path, most_bytes: int = MOST_BYTES) -> Iterator[Part]:
    """Yield the outcomes of a file, at most `AT_ONCE` at a time.

    A server writes so many in one transaction: all of a part, or none.

    Args:
        path: Path of a file of CSV, TSV (their first line names the columns) or JSON lines; also with ``.gz``.
        most_bytes: Size from which on a part takes no further outcome.

    Raises:
        BoxkiteError: The file has another suffix, or cannot be read.
    """
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in (*_SEPARATORS, *_JSON_LINES):
        known = ", ".join((*_SEPARATORS, *_JSON_LINES))
        msg = f"'{path}' has an unknown suffix. Use {known}, or '.gz' after that."
        raise BoxkiteError(msg)
    try:
        with _opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            if suffix in _SEPARATORS:
                lines = _table_lines(text, _SEPARATORS[suffix])
                yield from _parts(lines, next(lines, b""), "text/csv", most_bytes)
            else:
                yield from _parts(_json_lines(text), b"", "application/x-ndjson", most_bytes)
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        msg = f"'{path}' cannot be read: {str(error).rstrip('.')}. Is it there, complete, and in UTF-8?"
        raise BoxkiteError(msg) from error


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _parts(lines: Iterator[bytes], head: bytes, content_type: str, most_bytes: int) -> Iterator[Part]:
    """Yield lines in parts, each behind the same head."""
    first, size, body = 1, 0, bytearray(head)
    for line in lines:
        if size == AT_ONCE or (size and len(body) + len(line) > most_bytes):
            yield Part(first, size, content_type, bytes(body))
            first, size, body = first + size, 0, bytearray(head)
        body += line
        size += 1
    if size:
        yield Part(first, size, content_type, bytes(body))


def _table_lines(text: io.TextIOWrapper, separator: str) -> Iterator[bytes]:
    """Yield the rows of a table as lines of CSV; a text in quotes may have line breaks."""
    for row in csv.reader(text, delimiter=separator):
        if row:
            line = io.StringIO()
            csv.writer(line).writerow(row)
            yield line.getvalue().encode()


def _json_lines(text: io.TextIOWrapper) -> Iterator[bytes]:
    for number, line in enumerate(text, start=1):
        if line.strip():
            try:
                json.loads(line)
            except ValueError as error:
                msg = f"line {number} is no JSON ({error})"
                raise ValueError(msg) from error
            yield line.strip().encode() + b"\n"
