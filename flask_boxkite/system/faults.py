"""Faults of disks: full, read-only or broken. They may pass, so they keep no server from serving."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any

from flask_boxkite.quoting import loggable, printable

__all__ = ["is_disk_fault", "is_read_only", "warn_of"]

logger = logging.getLogger("flask_boxkite")

_DISK_FAULTS = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO)


def is_disk_fault(error: BaseException) -> bool:
    """Say whether an error is the disk's, and not caused by a path or a permission."""
    return isinstance(error, OSError) and error.errno in _DISK_FAULTS


def is_read_only(path: Path) -> bool:
    """Say whether a path that exists is on a disk that takes no changes for now.

    Raises:
        OSError: The path cannot be looked at.
    """
    return hasattr(os, "statvfs") and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def warn_of(error: BaseException, text: str, *values: Any) -> None:
    """Log a failure: a fault of the disk on the line itself, any other error with its traceback.

    Args:
        error: The failure.
        text: Sentence about its effect, with places for *values* as in a log call.
        values: Values for the text.
    """
    if is_disk_fault(error):
        assert isinstance(error, OSError)
        where = f": '{error.filename}'" if error.filename else ""
        logger.warning(f"{text} %s", *values, printable(f"{error.strerror}{where}."))
    else:
        logger.warning(text, *values, exc_info=loggable(error))
