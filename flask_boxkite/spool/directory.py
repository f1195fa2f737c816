"""The layout of a spool: names and sizes of its directories and files, and the number of records that wait."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from uuid import uuid4
from zlib import crc32

from flask_boxkite.naming import path_segment
from flask_boxkite.spool.owner import OWNER
from flask_boxkite.spool.segment import Segment, SegmentError

__all__ = [
    "NEW",
    "SPARE",
    "SUFFIX",
    "directories",
    "new_directory",
    "remove_directory",
    "segments",
    "spool_bytes",
    "unlink",
    "waiting_records",
]

NEW = ".new-"  # no sink's name begins with a dot
SUFFIX = ".seg"
SPARE = "spare"

_NAME = re.compile(r"(?P<sink>.+)-[0-9a-f]{32}")


def new_directory(root: Path, sink: str) -> Path:
    """Return the path of a new directory for the records of a process; nothing is made."""
    return root / f"{_name_of(sink)}-{uuid4().hex}"


def _name_of(sink: str) -> str:
    """Return a unique name of a sink for files: a checksum is added where characters had to be replaced."""
    name = path_segment(sink)
    return name if name == sink else f"{name}-{crc32(sink.encode()):08x}"


def directories(root: Path, sink: str = "") -> list[Path]:
    """Return the directories of all processes, alive or dead, in no order.

    Args:
        root: The spool.
        sink: Name of the only sink whose directories are wanted; empty for all.
    """
    name = _name_of(sink) if sink else None
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        return [Path(entry.path) for entry in entries if _is_of(entry, name)]
    return []


def _is_of(entry: os.DirEntry[str], sink: str | None) -> bool:
    name = _NAME.fullmatch(entry.name)
    with contextlib.suppress(OSError):
        return name is not None and sink in (None, name["sink"]) and entry.is_dir(follow_symlinks=False)
    return False


def spool_bytes(root: Path, sink: str = "") -> int:
    """Return the bytes on disk of the spool, or of one sink's part of it."""
    return sum(map(_bytes_in, directories(root, sink)))


def _bytes_in(directory: Path) -> int:
    total = 0
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # just removed
                total += entry.stat(follow_symlinks=False).st_size
    return total


def waiting_records(directory: Path) -> int:
    """Return the number of records of a dead process that are not settled; 0 if its directory is gone.

    Raises:
        OSError: A segment cannot be read.
    """
    total = 0
    for path in segments(directory):
        with contextlib.suppress(SegmentError):
            total += Segment.unsettled(path)
    return total


def segments(directory: Path) -> list[Path]:
    """Return the paths of the segments, oldest first."""
    return sorted(directory.glob(f"*{SUFFIX}"))


def unlink(path: Path) -> None:
    """Delete a file; never raises."""
    with contextlib.suppress(OSError):  # gone already, or a directory that this package did not make
        path.unlink()


def remove_directory(directory: Path) -> None:
    """Remove a directory without records; never raises."""
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            if path.name != OWNER:  # last, because its lock stands for the directory
                unlink(path)
        (directory / OWNER).unlink(missing_ok=True)
        directory.rmdir()
