"""The numbers of a process as a file that others can read at any time: its format, and the file of this process.

A file is a header of one page, then sections, each at the start of a page: sizes, counts as int64, sums as float64,
key and description, in the machine's byte order. A section that is not complete has length 0, and ends the file for
its readers. The owner maps its own file and counts in place; everybody else reads copies, since to map a file that
someone may shorten is to risk SIGBUS. A file is reserved in full before it is mapped, for the same reason.

Its owner holds a lock on it (``flock``) for life, so a file whose lock can be taken belongs to nobody any more.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
import weakref
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import NamedTuple
from uuid import uuid4

import numpy as np

from flask_boxkite.baseline.distribution import MAX_COUNT
from flask_boxkite.live.layout import FORMAT
from flask_boxkite.live.store import Block, Totals
from flask_boxkite.naming import DAMAGED, FOREIGN, OTHER_FORMAT

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "LIVE",
    "LiveFile",
    "StateFileError",
    "Stored",
    "can_share",
    "composed",
    "is_unused",
    "locked",
    "new_name",
    "open_private",
    "parsed",
    "read_file",
    "release",
    "take_if_dead",
    "write_all",
]

LIVE = "live-"
NEW = "new-"
"""How the names of finished files, and of those that are being written, begin."""

PAGE = mmap.ALLOCATIONGRANULARITY
MAGIC = b"boxkite\n"
_FILE = struct.Struct("=8sQQI")
"""Magic, format, generation, and a checksum of it and of what follows the header; 0 where that changes all the time."""
_LENGTH = struct.Struct("=Q")
_SECTION = struct.Struct("=QQIII")
"""After the length: cells, sums, bytes of the key, of the description, and a checksum of all four and both texts."""
_NUMBERS = 64
"""Where a section's numbers begin, seen from its start."""

can_share = fcntl is not None and hasattr(os, "pwrite")
"""Whether this system has what sharing needs."""


class StateFileError(Exception):
    """A file cannot be used. *state* is one of `naming.STATE_FILES`."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class Stored(NamedTuple):
    """A section as it stands in a file."""

    key: str
    totals: Totals
    description: bytes


# --- reading ---------------------------------------------------------------------------------------------------------


def parsed(data: bytes) -> tuple[int, list[Stored]]:
    """Return the generation and the sections of a file.

    Raises:
        StateFileError: It is of another format, damaged, or no such file at all.
    """
    if data and not MAGIC.startswith(data[: len(MAGIC)]):
        raise StateFileError(FOREIGN)
    if len(data) < PAGE:
        raise StateFileError(DAMAGED)
    _, version, generation, checksum = _FILE.unpack_from(data)
    if version != FORMAT:
        raise StateFileError(OTHER_FORMAT)
    if checksum and checksum != _checksum(generation, memoryview(data)[PAGE:]):
        raise StateFileError(DAMAGED)
    return generation, list(_sections(data))


def _checksum(generation: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("=Q", generation))) or 1


def _sections(data: bytes) -> Iterator[Stored]:
    start = PAGE
    while start + _NUMBERS <= len(data):
        (length,) = _LENGTH.unpack_from(data, start)
        if length == 0:
            return
        if length % PAGE or length > len(data) - start:
            raise StateFileError(DAMAGED)
        yield _section(data[start : start + length])
        start += length


def _section(data: bytes) -> Stored:
    cells, sums, key_size, description_size, checksum = _SECTION.unpack_from(data, _LENGTH.size)
    texts = _NUMBERS + 8 * (cells + sums)
    end = texts + key_size + description_size
    if _pages(end) != len(data) or checksum != _heading(cells, sums, key_size, data[texts:end])[1]:
        raise StateFileError(DAMAGED)
    totals = Totals(
        np.frombuffer(data, np.int64, cells, _NUMBERS), np.frombuffer(data, np.float64, sums, _NUMBERS + 8 * cells)
    )
    is_sound = ((totals.cells >= 0) & (totals.cells <= MAX_COUNT)).all() and (totals.sums >= 0).all()
    if not is_sound:
        raise StateFileError(DAMAGED)
    key = data[texts : texts + key_size].decode()
    return Stored(key, totals, data[texts + key_size : end])


def read_file(path: str | os.PathLike[str], descriptor: int | None = None) -> bytes:
    """Return the content of a file that may grow meanwhile; follows no link.

    Raises:
        OSError: It is not there, or cannot be read.
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


# --- writing ---------------------------------------------------------------------------------------------------------


def _heading(cells: int, sums: int, key_size: int, texts: bytes) -> tuple[bytes, int]:
    """Return what stands between a section's length and its numbers, and the checksum in it."""
    sizes = (cells, sums, key_size, len(texts) - key_size)
    checksum = zlib.crc32(texts, zlib.crc32(repr(sizes).encode()))
    return _SECTION.pack(*sizes, checksum), checksum


def _composed_section(section: Stored) -> bytes:
    """Return a section's bytes, a whole number of pages."""
    key = section.key.encode()
    cells, sums = section.totals
    texts = key + section.description
    numbers = cells.astype(np.int64).tobytes() + sums.astype(np.float64).tobytes()
    length = _pages(_NUMBERS + len(numbers) + len(texts))
    heading = _LENGTH.pack(length) + _heading(len(cells), len(sums), len(key), texts)[0]
    return (heading.ljust(_NUMBERS, b"\0") + numbers + texts).ljust(length, b"\0")


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def composed(generation: int, sections: Iterable[Stored]) -> bytes:
    """Return a whole file, with a checksum."""
    body = b"".join(map(_composed_section, sections))
    return _header(generation, _checksum(generation, body)) + body


def _header(generation: int, checksum: int) -> bytes:
    return _FILE.pack(MAGIC, FORMAT, generation, checksum).ljust(PAGE, b"\0")


def new_name() -> str:
    """Return a name under which to write a file that nobody may read yet."""
    return NEW + uuid4().hex


def open_private(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file that is ours alone and no link; a forked and executed program does not inherit it."""
    # Not to wait, should it be a pipe that somebody put there.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write every byte, or raise."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


@contextlib.contextmanager
def locked(descriptor: int, patience_seconds: float = 0.0) -> Iterator[bool]:
    """Hold the lock of an open file or directory, and yield True; or False if another process has it.

    It is unlocked, not only closed, at the end: a process forked meanwhile has a copy of the descriptor.
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


def release(descriptor: int) -> None:
    """Unlock and close what `take_if_dead` gave; a process forked meanwhile has the lock too, until it is unlocked."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def is_unused(directory: Path) -> bool:
    """Say whether no live process counts there."""
    for path in directory.glob(f"{LIVE}*"):
        descriptor = take_if_dead(path)
        if descriptor is None:
            return False
        release(descriptor)
    return True


def _reserve(descriptor: int, offset: int, size: int) -> None:
    """Make sure that the disk holds these bytes, all zero."""
    try:
        os.posix_fallocate(descriptor, offset, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        write_all(descriptor, bytes(size), offset)  # a system or a disk that cannot reserve


def _mapped(descriptor: int, size: int, offset: int) -> mmap.mmap:
    try:
        return mmap.mmap(descriptor, size, offset=offset)
    except ValueError as error:  # somebody has just shortened the file
        raise OSError(errno.EIO, str(error)) from error


def _identity(descriptor: int) -> tuple[int, int]:
    about = os.fstat(descriptor)
    return about.st_dev, about.st_ino


class LiveFile:
    """The file of this process: made with the first block that moves into it, locked until the process ends.

    The lock belongs to a descriptor of its own. Maps keep a descriptor open too, which a forked child cannot close
    while it still refers to a block, and with it the lock would live on in the child.

    Args:
        directory: Where to.

    Attributes:
        path: Where it is.
        born: When it was made, in Unix nanoseconds.

    Raises:
        OSError: There is no room, or no right to.
    """

    def __init__(self, directory: Path) -> None:
        temporary = directory / new_name()
        self.born = time_ns()
        self._lock = self._data = -1
        self._identity = (0, 0)
        _inherited.add(self)  # first of all: another thread may fork at any time
        self._lock = open_private(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self._identity = _identity(self._lock)
        try:
            self._data = open_private(temporary, os.O_RDWR)
            if not _try_lock(self._lock):
                msg = "the lock of a new file is taken"
                raise OSError(msg)
            _reserve(self._lock, 0, PAGE)
            write_all(self._lock, _header(0, 0), 0)
            self._end = PAGE
            self.path = directory / (LIVE + temporary.name.removeprefix(NEW))
            os.rename(temporary, self.path)
        except BaseException:
            self.close()
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def is_linked(self) -> bool:
        """Say whether others can still find it."""
        with contextlib.suppress(OSError):
            is_held = _identity(self._lock) == _identity(self._data) == self._identity
            return is_held and os.fstat(self._lock).st_nlink > 0
        return False

    def take(self, block: Block) -> None:
        """Move a block's numbers into a new section; readers see all of it or nothing.

        Raises:
            OSError: There is no room, or the file is not ours any more; the block stays where it is.
        """
        if not self.is_linked():
            raise OSError(errno.EBADF, "the state file of this process is gone")
        with block.lock:
            section = block.section
            data = _composed_section(Stored(section.key, block.numbers(), section.description))
            try:
                _reserve(self._data, self._end, len(data))
                memory = _mapped(self._data, len(data), self._end)
                write_all(self._data, data[_LENGTH.size :], self._end + _LENGTH.size)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._data, self._end)
                raise
            write_all(self._data, data[: _LENGTH.size], self._end)
            self._end += len(data)
            block.move(memoryview(memory)[_NUMBERS:])

    def close(self) -> None:
        """Let go of the lock; what is mapped stays mapped. In a forked child, the parent keeps its lock."""
        for descriptor in (self._lock, self._data):
            # A process that became a daemon may have closed it, and opened another file under its number.
            with contextlib.suppress(OSError):
                if _identity(descriptor) == self._identity:
                    os.close(descriptor)
        self._lock = self._data = -1


_inherited: weakref.WeakSet[LiveFile] = weakref.WeakSet()


def _close_inherited() -> None:
    """Let go of the parent's files in a forked child: their locks would live as long as the child.

    uWSGI runs no such hooks; there the child does so when it counts for the first time.
    """
    for file in list(_inherited):
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
