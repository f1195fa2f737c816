"""Private files: opened without following a link or waiting, reserved in full, and mapped."""

from __future__ import annotations

import errno
import mmap
import os

__all__ = [
    "identity",
    "is_passing",
    "mapped",
    "open_private",
    "read_file",
    "reserve",
    "write_all",
]


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


def identity(descriptor: int) -> tuple[int, int]:
    """Return the numbers that tell an open file from all others."""
    about = os.fstat(descriptor)
    return about.st_dev, about.st_ino


def is_passing(error: OSError) -> bool:
    """Say whether an error may pass by itself, such as too many open files."""
    return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
