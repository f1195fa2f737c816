"""Adoption of dead processes' records by living processes.

A process that takes an owner file's lock owns the directory. Before it delivers the records, it answers two questions.

May it deliver them? Records of its own server at once; records of another server only after that server has ended,
because its own processes know better.

Are they counted as accepted? If the dead process counted in the directory in which this server counts, folding its
counts adds them to the server's numbers. This process waits for the fold, so that they are counted once.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flask_boxkite.spool.directory import NEW, directories, remove_directory
from flask_boxkite.spool.orphan import OrphanLog
from flask_boxkite.spool.owner import OWNER, Owner
from flask_boxkite.system.locks import OwnerLock, has_no_owner

__all__ = ["FOLD_PATIENCE_SECONDS", "ServerCounts", "find_orphan"]

_IDLE_SECONDS = 30.0
"""A server that this process cannot look at counts as ended if it wrote nothing for so long."""

_ABANDONED_SECONDS = 600.0
"""Another app that wrote nothing for so long may not come back."""

_UNFOLDED_SECONDS = 60.0
"""Counts that were not folded after this time will never be."""

FOLD_PATIENCE_SECONDS = 0.5
"""Another process may fold the counts just now, which takes milliseconds."""

_UNFINISHED_SECONDS = 3600.0


class ServerCounts(NamedTuple):
    """The counts of a server, as far as an adoption asks for them.

    Attributes:
        directory: Directory in which this server's processes count; None where each counts in its own memory.
        fold: Folds the counts of dead processes.
        is_apart: Says whether another app owns a section of the counts there.
        has_counted: Says whether the process that wrote a directory is in the counts there, once its file is gone.
        fold_patience_seconds: Time for which an adoption waits for a fold.
    """

    directory: Path | None
    fold: Callable[[], object]
    is_apart: Callable[[str], bool] = lambda section: False
    has_counted: Callable[[Path], bool] = lambda directory: True
    fold_patience_seconds: float = FOLD_PATIENCE_SECONDS


def find_orphan(root: Path, own: Owner, counts: ServerCounts) -> OrphanLog | None:
    """Take over the records of one dead process; None if there are none that may be taken now.

    Args:
        root: The spool.
        own: Describes this process.
        counts: Counts of this process's server.
    """
    candidates = directories(root, own.sink)
    random.shuffle(candidates)  # so that processes share the work
    for directory in candidates:
        with contextlib.suppress(OSError, ValueError):
            directory.rmdir()  # empty if a process died while it removed it
        with contextlib.suppress(OSError, ValueError):
            if (log := _taken_over(directory, own, counts)) is not None:
                return log
    _sweep(root)
    return None


def _taken_over(directory: Path, own: Owner, counts: ServerCounts) -> OrphanLog | None:
    # Opened for writing as a test: on a read-only disk, the same records would be delivered for ever.
    lock = OwnerLock(directory / OWNER, os.O_RDWR)
    with contextlib.ExitStack() as stack:
        stack.callback(lock.release)
        # Another process may have delivered all records just now, and removed the directory.
        if not lock.is_linked() or os.fstat(lock.descriptor).st_uid != os.geteuid():
            return None
        owner = Owner.load(directory / OWNER)
        if not _is_ours_to_take(directory, owner, own):
            return None

        is_counted = _is_counted(directory, owner, counts)
        if is_counted is None:
            return None
        log = OrphanLog(directory, owner, lock, is_counted=lambda: bool(is_counted) and counts.has_counted(directory))
        stack.pop_all()
        return log


def _is_counted(directory: Path, owner: Owner, counts: ServerCounts) -> bool | None:
    """Say whether this server has accepted the records of a dead process; None if that is not known yet."""
    if not owner.counts or Path(owner.counts).parent != counts.directory:
        return False
    if counts.is_apart(owner.section):
        return None if _idle_seconds(directory) < _ABANDONED_SECONDS else False

    if _is_folded(owner.counts, counts):
        return True
    # A process that was stopped during its fold may go on some day; then they count.
    is_hopeless = _idle_seconds(directory) >= _UNFOLDED_SECONDS and has_no_owner(Path(owner.counts).parent)
    return False if is_hopeless else None


def _is_ours_to_take(directory: Path, owner: Owner, own: Owner) -> bool:
    if owner.sink != own.sink:
        return False
    if owner.server == own.server:
        return True
    has_ended = owner.server.has_ended()
    return _idle_seconds(directory) > _IDLE_SECONDS if has_ended is None else has_ended


def _is_folded(path: str, counts: ServerCounts) -> bool:
    """Fold a dead process's counts, or wait while another process does so, which takes milliseconds."""
    deadline = time.monotonic() + counts.fold_patience_seconds
    counts.fold()
    while os.path.lexists(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
        counts.fold()
    return True


def _idle_seconds(directory: Path) -> float:
    """Return the seconds since a dead process wrote; a clock that was ahead then, or is behind now, makes them many."""
    with os.scandir(directory) as entries:
        return abs(time.time() - max(entry.stat(follow_symlinks=False).st_mtime for entry in entries))


def _sweep(root: Path) -> None:
    """Remove directories that were never finished; never raises."""
    for directory in directories(root):
        with contextlib.suppress(OSError):
            if not directory.name.startswith(NEW):
                continue
            owner, age = directory / OWNER, abs(time.time() - directory.stat().st_mtime)
            if age > _UNFINISHED_SECONDS and (has_no_owner(owner) or not os.path.lexists(owner)):
                remove_directory(directory)
