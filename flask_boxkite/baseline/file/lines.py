"""The lines of a baseline file, from any path that a user names: a device, a pipe or a huge file does no harm."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from flask_boxkite.baseline.file.damage import HINT, fail

__all__ = ["lines_of"]

MAX_BYTES = 256 * 1024 * 1024
"""Most bytes of a file; larger ones are refused unread. 10,000 features take about 100 MB."""

LONGEST_LINE = 1024 * 1024
"""Most bytes of a line; this package writes lines of a few hundred."""


def lines_of(path: Path, most_bytes: int = MAX_BYTES) -> Iterator[str]:
    """Yield the lines of a file; a line that is not text, or is too long, ends the reading.

    Raises:
        BaselineError: The file is not a regular one, has more than *most_bytes*, or such a line.
        OSError: It cannot be read.
    """
    with _opened(path, most_bytes) as file:
        size = number = 0

        # Only "\n" ends a line: str.splitlines() would also cut at characters that names may hold.
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            size += len(line)
            if len(line) > LONGEST_LINE:
                fail(f"the line has more than {LONGEST_LINE:,} bytes, so it is no baseline. {HINT}", number)
            if size > most_bytes:
                fail(f"it grows beyond the {most_bytes:,} bytes that a baseline may have.", number)
            try:
                yield line.decode("utf-8").removesuffix("\n")
            except UnicodeDecodeError:
                fail(f"it is not UTF-8 text, so it is no baseline. {HINT}", number)


def _opened(path: Path, most_bytes: int) -> IO[bytes]:
    """Open a file of at most *most_bytes*. The open file is checked, because its path may lead to another one later."""
    # O_NONBLOCK, because opening a pipe would wait.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            fail(f"it is not a file. {HINT}")
        if about.st_size > most_bytes:
            fail(f"it has {about.st_size:,} bytes, more than the {most_bytes:,} that a baseline may have.")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
