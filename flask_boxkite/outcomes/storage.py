"""The bytes of an outcome book, in a file that all processes of a server share, or in memory.

A process opens the file for each use, so a forked child has no lock in common with its parent. It never maps the file,
so a user who shortens it causes an error and no SIGBUS.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic
from typing import Protocol

from flask_boxkite.live.state_file import new_name
from flask_boxkite.system.files import open_private, reserve, write_all
from flask_boxkite.system.fork_mark import fork_mark
from flask_boxkite.system.locks import locked

__all__ = ["FileStorage", "MemoryStorage", "OpenStorage", "Storage"]


class OpenStorage(Protocol):
    """The bytes, while no other process and no other thread uses them."""

    def size(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes: ...

    def write(self, offset: int, data: bytes) -> None: ...

    def replacement(self, size: int) -> AbstractContextManager[OpenStorage]:
        """Return other bytes, all zero, which take the place of these when the context ends without an error.

        These bytes must not be used afterwards; the next `Storage.open` gives the other ones.

        Raises:
            OSError: The disk is full, say; these bytes are as before.
        """


class Storage(Protocol):
    """The place of a book."""

    def open(self, *, to_read: bool = False) -> AbstractContextManager[OpenStorage]:
        """Return the bytes, none if there is no book yet.

        Args:
            to_read: Whether the bytes are only read, which a read-only disk allows.

        Raises:
            FileNotFoundError: The file is missing, and is only read; or its directory is missing.
            OSError: The file cannot be opened, or (`TimeoutError`) another process keeps its lock.
        """


# --- file ------------------------------------------------------------------------------------------------------------


class FileStorage:
    """A file that all processes of a server share.

    Args:
        path: Path of the file.
        patience_seconds: Longest time to wait for the lock: a holder that was stopped must not hang others' requests.
    """

    def __init__(self, path: Path, patience_seconds: float) -> None:
        self._path = path
        self._patience_seconds = patience_seconds

    @contextlib.contextmanager
    def open(self, *, to_read: bool = False) -> Iterator[_OpenFile]:
        """Return the open file, locked; it is made, empty, if it is missing and not only read."""
        deadline = monotonic() + self._patience_seconds
        while True:
            file = _OpenFile(self._path, os.O_RDONLY if to_read else os.O_RDWR | os.O_CREAT)
            try:
                with locked(file.descriptor, deadline - monotonic()) as is_mine:
                    if not is_mine:
                        raise TimeoutError(errno.ETIMEDOUT, "another process keeps the lock", str(self._path))
                    if file.is_in_place():  # otherwise another process replaced it while this one waited
                        yield file
                        return
            finally:
                file.close()


class _OpenFile:
    """An open file.

    Args:
        path: Path of the file.
        flags: Flags to open it with.
    """

    def __init__(self, path: Path, flags: int) -> None:
        self._path = path
        self._size = 0
        self.descriptor = open_private(path, flags)
        _open_descriptors.add(self.descriptor)

    def is_in_place(self) -> bool:
        """Say whether its path leads to it; note its size."""
        about = os.fstat(self.descriptor)
        self._size = about.st_size
        try:
            return os.path.samestat(about, os.lstat(self._path))
        except FileNotFoundError:
            return False

    def size(self) -> int:
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        data = os.pread(self.descriptor, size, offset)
        if len(data) < size:
            raise OSError(errno.EIO, "the file was just shortened", str(self._path))
        return data

    def write(self, offset: int, data: bytes) -> None:
        write_all(self.descriptor, data, offset)

    @contextlib.contextmanager
    def replacement(self, size: int) -> Iterator[_OpenFile]:
        temporary = self._path.parent / new_name()
        file = _OpenFile(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            reserve(file.descriptor, 0, size)  # so that a full disk is noticed now, and not in the midst of counting
            yield file
            if self.is_in_place():  # otherwise a user deleted it, and another process may count in a new one
                os.rename(temporary, self._path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()  # it is gone already, if all went well
            file.close()

    def close(self) -> None:
        # In this order: a child forked in between would close a number that another file may have by then.
        _open_descriptors.discard(self.descriptor)
        os.close(self.descriptor)


_open_descriptors: set[int] = set()
"""Descriptors in use by the threads of this process."""


def _close_inherited() -> None:
    """Close the copies of a forked child: if its parent is killed, they would keep the lock as long as the child lives.

    uWSGI runs no such hooks, but it forks its workers before requests come.
    """
    while _open_descriptors:
        with contextlib.suppress(OSError):
            os.close(_open_descriptors.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


# --- memory ----------------------------------------------------------------------------------------------------------


class MemoryStorage:
    """Memory of a process that shares nothing; a forked child begins with none."""

    def __init__(self) -> None:
        self._memory = _Memory()

    @contextlib.contextmanager
    def open(self, *, to_read: bool = False) -> Iterator[_Memory]:
        """Return the memory."""
        while not (memory := self._memory).mark[0]:
            # setdefault is atomic, so the threads of a forked child agree on one memory without the parent's lock.
            self._memory = memory.heirs.setdefault("child", _Memory())
        with memory.lock:
            yield memory


class _Memory:
    """The memory of one process."""

    def __init__(self) -> None:
        self.mark = fork_mark()
        self.lock = threading.Lock()
        self.heirs: dict[str, _Memory] = {}
        self._data = bytearray()

    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._data[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        self._data[offset : offset + len(data)] = data

    @contextlib.contextmanager
    def replacement(self, size: int) -> Iterator[_Memory]:
        other = _Memory()
        other._data = bytearray(size)
        yield other
        self._data = other._data
