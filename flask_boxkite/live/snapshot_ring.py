"""The ring of snapshots of a section's counts, in a file that all processes of a server share, or in memory.

A ring is in the machine's byte order; *c* is the number of counts in a snapshot.

    offset    | bytes | meaning
    0         | 8     | ``boxring`` and a line feed
    8         | 8     | format (`model_cells.FORMAT`), unsigned
    16        | 8     | *c*, unsigned
    24        | 40    | id of the machine's boot, ASCII, up to 36 bytes, then zeros
    64        | 8     | seconds by which the wall clock led the monotonic clock at the first snapshot, float64
    72        | 1536  | label of each of the 192 snapshots, float64: Unix time at which it was taken; 0 for none, NaN
                        while it is being written
    1608      | 8 c   | snapshot 0: counts, int64
    1608+8c·n | 8 c   | snapshot *n*

A file ends behind the last snapshot that was written. One with other bytes before offset 64 is void: of another format,
model or boot.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.live.model_cells import FORMAT
from flask_boxkite.system.files import open_private, write_all
from flask_boxkite.system.locks import locked

__all__ = ["SNAPSHOTS", "Labels", "MemoryRing", "OpenRing", "RingFile", "RingFormat", "RingStorage", "Snapshot"]

SNAPSHOTS = 192
"""Number of snapshots in a ring."""

Labels: TypeAlias = "NDArray[np.float64]"
"""Time of each snapshot: 0 for none, NaN while it is being written. Shape (SNAPSHOTS,)."""

_MAGIC = b"boxring\n"
_HEADER = struct.Struct("=8sQQ40s")  # magic, format, c, boot
_LEAD = struct.Struct("=d")
_LABEL = struct.Struct("=d")
_LABELS_AT = _HEADER.size + _LEAD.size
_DATA_AT = _LABELS_AT + _LABEL.size * SNAPSHOTS

_LARGEST_LEAD = 1e11
"""The year 5138; floats count it to 0.1 ms."""


class OpenRing(Protocol):
    """The bytes of a ring; zero where no snapshot was written."""

    def read(self, offset: int, size: int) -> bytes: ...

    def write(self, offset: int, data: bytes) -> None: ...

    def clear(self) -> None: ...

    def size(self) -> int: ...

    def room(self) -> float: ...

    def locked(self, patience_seconds: float) -> AbstractContextManager[bool]:
        """Keep other processes from writing and yield True; yield False if another process is writing."""


class RingStorage(Protocol):
    """The storage of a ring: a file, or memory."""

    def open(self, *, to_read: bool = False) -> AbstractContextManager[OpenRing]:
        """Return the ring, made if it is missing.

        Args:
            to_read: Whether the ring is only read, which a read-only disk allows.

        Raises:
            OSError: The ring cannot be opened or made.
        """


class Snapshot(NamedTuple):
    """A snapshot as read, possibly while another process wrote it.

    Attributes:
        data: Bytes of the counts.
        label: Time at which it was taken, read after the counts.
    """

    data: bytes
    label: float


class RingFormat:
    """Reads and writes the rings of one section during one boot of the machine.

    Args:
        cells: Number of counts in a snapshot.
        boot: Id of the boot.

    Attributes:
        snapshot_bytes: Bytes of a snapshot.
    """

    def __init__(self, cells: int, boot: str) -> None:
        self.snapshot_bytes = 8 * cells
        self._header = _HEADER.pack(_MAGIC, FORMAT, cells, boot.encode()[:36])

    def labels(self, ring: OpenRing) -> tuple[Labels, float] | None:
        """Return the labels, and the lead of the wall clock over the monotonic clock; None if the ring is void."""
        data = ring.read(0, _DATA_AT)
        if data[: _HEADER.size] != self._header or len(data) < _LABELS_AT:
            return None
        (lead,) = _LEAD.unpack_from(data, _HEADER.size)
        if not abs(lead) < _LARGEST_LEAD:  # the file is damaged
            return None

        labels = np.frombuffer(data.ljust(_DATA_AT, b"\0"), np.float64, offset=_LABELS_AT)
        # The file may have been cut: there is no snapshot beyond its end.
        whole = (ring.size() - _DATA_AT) // self.snapshot_bytes
        return np.where(np.arange(SNAPSHOTS) < whole, labels, 0.0), lead

    def snapshot(self, ring: OpenRing, index: int) -> Snapshot | None:
        """Return a snapshot; None if the ring is void, or was cut."""
        data = ring.read(self._offset(index), self.snapshot_bytes)
        after = self.labels(ring)
        return None if after is None or len(data) < self.snapshot_bytes else Snapshot(data, float(after[0][index]))

    def write(self, ring: OpenRing, indices: Iterable[int], data: bytes, label: float, lead: float) -> None:
        """Write the same snapshot at several indices, then the header.

        Raises:
            OSError: The disk is full, say.
        """
        for index in indices:
            label_at = _LABELS_AT + _LABEL.size * index
            ring.write(label_at, _LABEL.pack(math.nan))
            ring.write(self._offset(index), data)
            ring.write(label_at, _LABEL.pack(label))

        ring.write(0, self._header + _LEAD.pack(lead))

    def _offset(self, index: int) -> int:
        return _DATA_AT + index * self.snapshot_bytes


class MemoryRing:
    """Snapshots of a process that shares nothing.

    Args:
        cells: Number of counts in a snapshot.
    """

    def __init__(self, cells: int) -> None:
        self._size = _DATA_AT + SNAPSHOTS * 8 * cells
        self.clear()

    @contextlib.contextmanager
    def open(self, *, to_read: bool = False) -> Iterator[MemoryRing]:
        """Return itself."""
        yield self

    def read(self, offset: int, size: int) -> bytes:
        """Return a copy."""
        return self._data[offset : offset + size]

    def write(self, offset: int, data: bytes) -> None:
        """Write in place."""
        self._data[offset : offset + len(data)] = data

    def clear(self) -> None:
        """Delete all snapshots."""
        self._data = mmap.mmap(-1, self._size)  # takes memory only where it is written

    def size(self) -> int:
        """Return the number of bytes."""
        return self._size

    def room(self) -> float:
        """Return the number of bytes that may be added."""
        return math.inf

    @contextlib.contextmanager
    def locked(self, patience_seconds: float) -> Iterator[bool]:
        """Yield True: no other process writes."""
        yield True


class RingFile:
    """Snapshots that all processes of a server share.

    The file is opened for each use, a few times a minute, so that a forked child inherits no descriptor. It is never
    mapped, so that a user who shortens it does no harm.

    Args:
        path: Path of the file.
        is_read_only: Whether the file is another server's: then it is not made if it is missing.
    """

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        self._path = path
        self._is_read_only = is_read_only

    @contextlib.contextmanager
    def open(self, *, to_read: bool = False) -> Iterator[_OpenFile]:
        """Return the open file."""
        descriptor = self._opened(to_read=to_read or self._is_read_only)
        try:
            yield _OpenFile(descriptor)
        finally:
            os.close(descriptor)

    def _opened(self, *, to_read: bool) -> int:
        if to_read:
            try:
                return open_private(self._path, os.O_RDONLY)
            except FileNotFoundError:
                if self._is_read_only:
                    raise
        return open_private(self._path, os.O_RDWR | os.O_CREAT)


class _OpenFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def write(self, offset: int, data: bytes) -> None:
        write_all(self._descriptor, data, offset)

    def clear(self) -> None:
        os.ftruncate(self._descriptor, 0)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def room(self) -> float:
        disk = os.fstatvfs(self._descriptor)
        return disk.f_bavail * disk.f_frsize

    def locked(self, patience_seconds: float) -> AbstractContextManager[bool]:
        return locked(self._descriptor, patience_seconds)
