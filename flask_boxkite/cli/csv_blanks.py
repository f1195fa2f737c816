"""CSV with blanks between separators and quotes, such as ``39, "Private", 40``.

Polars takes such quotes as part of the value, and refuses a separator between them. A server reads the value in them,
and so does Python's reader.
"""

from __future__ import annotations

import csv
import io
import re

from flask_boxkite.cli.training_files import is_url, opened, temporary_file

__all__ = ["without_blanks"]

_PIECE = 2**20
_LONGEST_BLANKS = 64
"""Most blanks between a separator and a quote that are found where two pieces of a file meet."""


def without_blanks(path: str, separator: str) -> str:
    """Return the path of a file without blanks between separators and quotes: a temporary one if there are any.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not UTF-8, or has a value that is too long.
    """
    if is_url(path) or not _has_blanks(path, separator):
        return path
    descriptor, cleaned = temporary_file(".csv")
    with (
        open(descriptor, "w", encoding="utf-8", newline="") as target,
        opened(path) as source,
        io.TextIOWrapper(source, "utf-8-sig", newline="") as lines,
    ):
        writer = csv.writer(target, delimiter=separator)
        try:
            for row in csv.reader(lines, delimiter=separator, skipinitialspace=True):
                writer.writerow([cell.strip() for cell in row])
        except csv.Error as error:
            raise ValueError(str(error)) from error

    return cleaned


def _has_blanks(path: str, separator: str) -> bool:
    """Say whether there may be a blank beside a quote; inside quotes it makes no difference."""
    mark = re.escape(separator.encode())
    blanks = re.compile(rb'(?:%b|\n) +"|" +(?:%b|\r|\n)' % (mark, mark))
    before = b"\n"
    with opened(path) as file:
        while piece := file.read(_PIECE):
            if blanks.search(before + piece):
                return True
            before = piece[-_LONGEST_BLANKS:]
    return False
