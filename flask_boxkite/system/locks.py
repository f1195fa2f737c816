"""Locks of files (``flock``), which end with their process, however the process ends.

So a file whose lock can be taken has no owner any more.
"""

from __future__ import annotations

import contextlib
import errno
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from flask_boxkite.system.files import identity, open_private

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["OwnerLock", "can_lock", "has_no_owner", "locked", "release", "share", "take_if_dead"]

can_lock = fcntl is not None and hasattr(os, "pwrite")
"""Whether this system has the locks and writes that such files need."""


@contextlib.contextmanager
def locked(descriptor: int, patience_seconds: float = 0.0) -> Iterator[bool]:
    """Hold the lock of an open file or directory and yield True; yield False if another process has it.

    The end unlocks instead of only closing, because a process forked since has a copy of the descriptor.
    """
    deadline = monotonic() + patience_seconds
    while not (is_mine := _try_lock(descriptor)) and monotonic() < deadline:
        sleep(0.001)
    try:
        yield is_mine
    finally:
        if is_mine:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def share(descriptor: int, patience_seconds: float = 1.0) -> None:
    """Take a lock of an open file that others may share, until it is closed; without locks on its disk, do nothing.

    Raises:
        OSError: Another process has had the file for itself all the time.
    """
    deadline = monotonic() + patience_seconds
    while fcntl is not None:
        try:
            if _try_lock(descriptor, fcntl.LOCK_SH):
                return
        except OSError:  # a network disk without locks
            return
        if monotonic() > deadline:
            raise OSError(errno.EAGAIN, "another process has locked the file")
        sleep(0.001)


def _try_lock(descriptor: int, kind: int | None = None) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if kind is None else kind) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take_if_dead(path: Path) -> int | None:
    """Return an open descriptor that holds the lock of a file without an owner; None if it has one, or is gone."""
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except OSError:
        return None
    if _try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def has_no_owner(path: Path) -> bool:
    """Say whether a file is there, and no process holds its lock."""
    descriptor = take_if_dead(path)
    if descriptor is None:
        return False
    release(descriptor)
    return True


def release(descriptor: int) -> None:
    """Unlock and close a descriptor of `take_if_dead`. Closing is not enough: a child forked since has the lock too."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


class OwnerLock:
    """The lock of a file of this process, held until the process ends; forked children do not inherit it.

    The descriptor serves the lock alone. A memory map has a descriptor of its own, which a forked child cannot close
    while it refers to the map; a lock on that one would live on in the child.

    Args:
        path: Path of the file.
        flags: Flags to open it with, such as ``os.O_RDWR``.

    Attributes:
        descriptor: Descriptor of the open file; -1 once closed.

    Raises:
        OSError: The file cannot be opened, or another process has its lock.
    """

    def __init__(self, path: Path, flags: int) -> None:
        self.descriptor = -1
        self._identity = (0, 0)
        _open_locks.add(self)  # before the file is opened: another thread may fork at any time
        self.descriptor = open_private(path, flags)
        self._identity = identity(self.descriptor)

        if not _try_lock(self.descriptor):
            self.close()
            raise OSError(errno.EAGAIN, f"the lock of '{path}' is taken")

    def owns(self, descriptor: int) -> bool:
        """Say whether a descriptor belongs to the locked file: a process that became a daemon may have closed it."""
        with contextlib.suppress(OSError):
            return identity(descriptor) == self._identity
        return False

    def is_linked(self) -> bool:
        """Say whether the file is locked and still has a name that others can find."""
        return self.owns(self.descriptor) and os.fstat(self.descriptor).st_nlink > 0

    def release(self) -> None:
        """Unlock and close. A forked child must not call this: its parent would lose the lock."""
        if self.owns(self.descriptor):
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        self.close()

    def close(self) -> None:
        """Close the descriptor. In a forked child, the parent keeps the lock."""
        descriptor, self.descriptor = self.descriptor, -1
        if self.owns(descriptor):  # otherwise the number may now belong to another file
            os.close(descriptor)


_open_locks: weakref.WeakSet[OwnerLock] = weakref.WeakSet()


def _close_inherited() -> None:
    """Close the parent's locks in a forked child: they would live as long as the child.

    uWSGI runs no such hooks; there the child closes them when it first uses the locked files.
    """
    for lock in list(_open_locks):
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
