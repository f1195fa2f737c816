"""Files of training data on disk: Polars' errors about them in one line, and their text before Polars reads it."""

from __future__ import annotations

import atexit
import gzip
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import polars as pl

from flask_boxkite.errors import BaselineError

__all__ = ["first_line", "is_url", "opened", "readable", "temporary_file"]

_POLARS = pl.exceptions.PolarsError, pl.exceptions.PanicException
"""Polars' errors; the latter is not an `Exception`, and unsupported types raise it."""


_OTHER_TYPE = re.compile(r"^cannot parse .* as |supertype of")
"""Polars' words for JSON lines in which the values of a column have several types."""


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn Polars' errors about a file into one line.

    Raises:
        BaselineError: The file cannot be read.
    """
    try:
        yield
    except (OSError, EOFError, zlib.error, ValueError, *_POLARS) as error:
        cause = error.__cause__ if isinstance(error, BaselineError) else error
        if cause is not error and not isinstance(cause, _POLARS):
            raise
        reason = str(cause).partition("\n")[0].strip().rstrip(".")
        remedy = "Is it complete, and in UTF-8 if it is text?"
        if _OTHER_TYPE.search(reason):
            remedy = "Give the values of each column one type: true or 1, not both."
        if isinstance(cause, pl.exceptions.PanicException):
            remedy = "It may contain a type that Polars lacks, such as DuckDB's intervals: write these as seconds."
        msg = f"'{name}' cannot be read: {reason}. {remedy}"
        raise BaselineError(msg) from error


def is_url(path: str) -> bool:
    """Return whether only Polars can read the file."""
    return "://" in path


def opened(path: str) -> IO[bytes]:
    """Open a file, decompressed."""
    return gzip.open(path) if path.endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


def temporary_file(suffix: str) -> tuple[int, str]:
    """Make a file that is deleted when the command ends; return its descriptor and path."""
    descriptor, path = tempfile.mkstemp(prefix="boxkite-", suffix=suffix)
    atexit.register(Path(path).unlink, missing_ok=True)
    return descriptor, path


def first_line(path: str) -> str | None:
    """Return the first line that is not blank; None if only Polars can read the file.

    Raises:
        BaselineError: The file is in UTF-16.
    """
    if is_url(path):
        return None
    try:
        with opened(path) as file:
            line = next((line for line in file if line.strip()), b"")
    except OSError:
        return None
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        msg = f"'{path}' is in UTF-16. Save it in UTF-8."
        raise BaselineError(msg)
    return line.decode("utf-8-sig", "replace").rstrip("\r\n")
