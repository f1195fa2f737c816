"""Files of one process that others may read: private, reserved in full, and locked while their owner lives.

A lock (``flock``) ends with its process, however the process ends. So a file whose lock can be taken has no owner any
more. No function here follows a link, or opens a file in a way that could wait.

`write_whole` writes a file that is made for users: whole, or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import shutil
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "OwnerLock",
    "can_lock",
    "has_no_owner",
    "identity",
    "is_passing",
    "locked",
    "make_private",
    "mapped",
    "open_private",
    "open_to_all",
    "read_file",
    "release",
    "reserve",
    "take_if_dead",
    "unwritable",
    "write_all",
    "write_whole",
]

can_lock = fcntl is not None and hasattr(os, "pwrite")
"""Whether this system has the locks and writes that such files need."""


def open_private(path: str | os.PathLike[str], flags: int) -> int:
    """Open a private file that is not a link; a program that a fork executes does not inherit it."""
    # Without O_NONBLOCK, a pipe in place of the file would make this wait.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)


def read_file(path: str | os.PathLike[str], descriptor: int | None = None) -> bytes:
    """Return the content of a file that may grow during the read; follows no link.

    Raises:
        OSError: The file is missing or cannot be read.
    """
    own = open_private(path, os.O_RDONLY) if descriptor is None else descriptor

    try:
        size = os.fstat(own).st_size
        parts = []
        offset = 0
        while offset < size and (part := os.pread(own, size - offset, offset)):
            parts.append(part)
            offset += len(part)
        return b"".join(parts)
    finally:
        if descriptor is None:
            os.close(own)


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write every byte, or raise."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it: no reader sees half a file, and no fault costs the old one.

    A link stays, and its target is replaced; a device or a pipe is written to.

    Raises:
        OSError: The file cannot be written; the old one is unchanged.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return

    temporary = path.parent / f".{token_hex(8)}.tmp"

    try:
        with open(temporary, "xb") as file:
            file.write(data)
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def reserve(descriptor: int, offset: int, size: int) -> None:
    """Make sure that the disk holds these bytes, all zero."""
    try:
        os.posix_fallocate(descriptor, offset, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        write_all(descriptor, bytes(size), offset)  # this system or disk cannot reserve


def mapped(descriptor: int, size: int, offset: int = 0) -> mmap.mmap:
    """Map bytes that were reserved."""
    try:
        return mmap.mmap(descriptor, size, offset=offset)
    except ValueError as error:  # another process has just shortened the file
        raise OSError(errno.EIO, str(error)) from error


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
    """Return the path that keeps this user from making or writing a directory; None if there is none."""
    nearest = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    return None if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK) else nearest


def open_to_all(directory: Path) -> Path | None:
    """Return the part of a path in which any user of the machine could replace what is there."""
    for path in (directory, *directory.parents):
        with contextlib.suppress(OSError):
            mode = path.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                return path
    return None


def identity(descriptor: int) -> tuple[int, int]:
    """Return what tells an open file from all others."""
    about = os.fstat(descriptor)
    return about.st_dev, about.st_ino


def is_passing(error: OSError) -> bool:
    """Say whether an error may pass by itself, such as too many open files."""
    return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)


# --- locks -----------------------------------------------------------------------------------------------------------


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


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
