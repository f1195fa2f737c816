"""Permissions of directories: made for this user alone, and checked before use."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from flask_boxkite.system.faults import is_read_only

__all__ = ["make_private", "open_to_all", "unwritable"]


def make_private(directory: Path, group: int | None = None) -> None:
    """Make a directory, and missing ones above it, for this user alone.

    Args:
        directory: Path of the directory.
        group: Number of a group that may read its content, too; None for no group.

    Raises:
        OSError: A directory cannot be made.
    """
    for missing in reversed([path for path in (directory, *directory.parents) if not path.exists()]):
        with contextlib.suppress(FileExistsError):  # another process is faster
            missing.mkdir(mode=0o700)
            if group is not None:
                os.chown(missing, -1, group)
                missing.chmod(0o750)


def unwritable(directory: Path) -> Path | None:
    """Return the path that keeps this user from making or writing a directory; None if there is none.

    A directory that is there, on a disk that is read-only for now, is no obstacle: a server must be able to replace a
    worker then.
    """
    nearest = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return None
    return None if nearest == directory and nearest.is_dir() and is_read_only(nearest) else nearest


def open_to_all(directory: Path) -> Path | None:
    """Return the part of a path in which any user of the machine could replace files."""
    for path in (directory, *directory.parents):
        with contextlib.suppress(OSError):
            mode = path.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                return path
    return None
