"""The last 5 minutes, hour and day of a section, as differences of snapshots of its totals.

Time is cut into slots. The first process that counts in a new slot takes a snapshot of the totals of all processes
before it counts. A window holds the total now, less the earliest snapshot since the window began; without a snapshot,
no request was counted since. So idle times cost nothing, and processes may come, die and be folded at any time.

A window reaches back up to one slot less than its name says. Counts that another process or thread adds while a
snapshot is taken may stay in the window for a slot longer. If the process that takes a snapshot is stopped, others take
none, and the window may be off by the time of the stop.

Memory is bounded: 192 snapshots, 8 bytes a count; 9 MiB for 100 features, written as time goes by.

Slots begin at times of the wall clock, so that records, which carry its times, can be cut at the same moments. But the
monotonic clock measures the time that passes: the first snapshot notes the difference of the two clocks, so no later
step of the wall clock moves a window. Readers see the times of snapshots by the present wall clock. A reboot voids all
snapshots.
"""

from __future__ import annotations

import contextlib
import errno
import math
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.live.clock import uptime
from flask_boxkite.live.layout import FORMAT
from flask_boxkite.live.store import Section, Totals
from flask_boxkite.system.files import locked, open_private, write_all
from flask_boxkite.system.process import boot_id

__all__ = [
    "LONGEST",
    "SLOT_SECONDS",
    "WINDOWS",
    "History",
    "MemoryRing",
    "RingFile",
    "Shortage",
    "Slots",
    "Snapshots",
    "Windows",
]

WINDOWS = {"5m": 300.0, "1h": 3600.0, "24h": 86400.0}
"""Seconds by name."""

LONGEST = "24h"
"""The window whose slots stand for all time since the start."""

SLOT_SECONDS = {"5m": 10.0, "1h": 60.0, "24h": 900.0}
"""Length of a slot, by window."""

_SHARE = 2
"""A disk needs this many times the room of a day's snapshots before they begin, because the counts come first."""

_PATIENCE_SECONDS = 0.2
"""Time for which a process waits at its start for another one that is just making the same ring."""


_Labels: TypeAlias = "NDArray[np.float64]"
"""Time of each snapshot: 0 for none, NaN while it is being written."""


class _Ring(NamedTuple):
    """The snapshots for one window: slot *n* stands at place ``first + n % places``."""

    seconds: float
    slot: float
    first: int
    places: int

    def place(self, now: float) -> int:
        return self.first + math.floor(now / self.slot) % self.places

    def is_due(self, labels: _Labels, now: float) -> bool:
        """Say whether the slot of *now* has no snapshot."""
        taken = labels[self.place(now)]
        return not (0 < taken < math.inf and math.floor(taken / self.slot) == math.floor(now / self.slot))

    def within(self, labels: _Labels, now: float) -> list[int]:
        """Return the places of the snapshots since the window began, oldest first."""
        own = labels[self.first : self.first + self.places]
        # A clock near 0, as in a test, would put 0, which stands for no snapshot, into the window.
        is_within = (own > 0) & (own >= now - self.seconds) & (own <= now)
        taken = np.where(is_within, own, np.inf)
        order = np.argsort(taken, kind="stable")[: np.count_nonzero(is_within)]
        return [self.first + int(place) for place in order]


def _rings() -> dict[str, _Ring]:
    rings: dict[str, _Ring] = {}
    first = 0
    for name, seconds in WINDOWS.items():
        slot = SLOT_SECONDS[name]
        places = math.ceil(seconds / slot) + 2
        rings[name] = _Ring(seconds, slot, first, places)
        first += places
    return rings


_RINGS = _rings()


def _due(labels: _Labels, now: float) -> list[int]:
    """Return the places of the snapshots that are due."""
    return [ring.place(now) for ring in _RINGS.values() if ring.is_due(labels, now)]


_PLACES = sum(ring.places for ring in _RINGS.values())
_SHORTEST = min(SLOT_SECONDS.values())

_MAGIC = b"boxring\n"
_HEADER = struct.Struct("=8sQQ40s")  # magic, format, cells, boot
_OFFSET = struct.Struct("=d")  # wall clock less monotonic clock; then the labels
_LABELS_AT = _HEADER.size + _OFFSET.size
_STEP_SECONDS = 1.0
"""A larger difference means that the wall clock was set, and not just read a little later."""

_LARGEST_OFFSET = 1e11
"""The year 5138; floats count it to 0.1 ms."""


def _data_size(section: Section) -> int:
    return 8 * section.cells


class Ring(Protocol):
    """The bytes of the snapshots; zero where no snapshot was written."""

    def read(self, offset: int, size: int) -> bytes: ...

    def write(self, offset: int, data: bytes) -> None: ...

    def clear(self) -> None: ...

    def size(self) -> int: ...

    def room(self) -> float: ...

    def locked(self, patience_seconds: float) -> AbstractContextManager[bool]:
        """Keep other processes from writing and give True; give False if another process is writing."""


class RingPlace(Protocol):
    """The place of a ring: a file, or memory."""

    def open(self) -> AbstractContextManager[Ring]:
        """Give the ring, made if it is missing.

        Raises:
            OSError: The ring cannot be opened or made.
        """


class MemoryRing:
    """Snapshots of a process that shares nothing."""

    def __init__(self, section: Section) -> None:
        self._size = _LABELS_AT + 8 * _PLACES + _PLACES * _data_size(section)
        self.clear()

    @contextlib.contextmanager
    def open(self) -> Iterator[MemoryRing]:
        """Give itself."""
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
        """Give True: no other process writes."""
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
        self._flags = os.O_RDONLY if is_read_only else os.O_RDWR | os.O_CREAT

    @contextlib.contextmanager
    def open(self) -> Iterator[_OpenRing]:
        """Give the open file."""
        descriptor = open_private(self._path, self._flags)
        try:
            yield _OpenRing(descriptor)
        finally:
            os.close(descriptor)


class _OpenRing:
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


class Snapshots(Mapping[float, "NDArray[np.int64]"]):
    """The snapshots of all windows by their times, in Unix seconds, ascending; each is read at its first use.

    Reading raises OSError, or KeyError if the snapshot has just been overwritten.

    Args:
        labels: Place and label of each snapshot, by time.
        read: Returns the snapshot at a place, or None if its label has changed.
    """

    def __init__(
        self, labels: Mapping[float, tuple[int, float]], read: Callable[[int, float], NDArray[np.int64] | None]
    ) -> None:
        self._labels = dict(sorted(labels.items()))
        self._read = read

    def __getitem__(self, taken: float) -> NDArray[np.int64]:
        cells = self._read(*self._labels[taken])
        if cells is None:
            raise KeyError(taken)
        return cells

    def __iter__(self) -> Iterator[float]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)

    def held(self, times: Iterable[float]) -> Iterator[tuple[float, NDArray[np.int64]]]:
        """Yield the snapshots of the given times that are still there."""
        for taken in times:
            with contextlib.suppress(KeyError):
                yield taken, self[taken]


class History(NamedTuple):
    """The totals at the beginnings of all slots of all windows.

    Attributes:
        snapshots: Counts by time, each of shape (cells,).
        now: Time of reading, in Unix seconds.
    """

    snapshots: Snapshots
    now: float

    @classmethod
    def none(cls, now: float) -> History:
        """Return a history without snapshots."""
        return cls(Snapshots({}, lambda place, taken: None), now)

    def slots(self, name: str, totals: Totals) -> Slots:
        """Return the counts of a window, slot by slot; the last slot is not over yet.

        A slot without counts is left out. Counts are never negative, even if a user deleted files.

        Args:
            name: Name of the window.
            totals: Counts as of now, read after the snapshots.
        """
        taken = np.array(list(self.snapshots))
        is_first = np.diff(np.floor(taken / SLOT_SECONDS[name]), prepend=np.nan) != 0
        chosen = taken[is_first & (taken >= self.now - WINDOWS[name])]
        starts = dict(self.snapshots.held(chosen.tolist()))
        cells = np.array([*starts.values(), totals.cells])
        return Slots(self.now - np.array(list(starts)), np.maximum(np.diff(cells, axis=0), 0))

    def window(self, name: str, totals: Totals) -> NDArray[np.int64]:
        """Return the counts of a window, shape (cells,); the arguments are the same as for `slots`."""
        within = (taken for taken in self.snapshots if taken >= self.now - WINDOWS[name])
        _, first = next(self.snapshots.held(within), (0.0, totals.cells))
        counts: NDArray[np.int64] = np.maximum(totals.cells - first, 0)
        return counts


class Slots(NamedTuple):
    """The counts of a window, slot by slot; their sum is the count of the window.

    Attributes:
        ages: Seconds since each slot began, shape (slots,), falling.
        cells: Counts, shape (slots, cells).
    """

    ages: NDArray[np.float64]
    cells: NDArray[np.int64]


class Shortage(NamedTuple):
    """Too little room on the disk to begin snapshots.

    Attributes:
        needed: Bytes that must be free.
        free: Bytes that are free.
    """

    needed: float
    free: float


class Windows:
    """The windows of one section, in one process.

    Args:
        place: Place of the snapshots.
        section: Section whose counts they hold.
        clock: Returns the monotonic time.
        wall: Returns the Unix time.
    """

    def __init__(
        self,
        place: RingPlace,
        section: Section,
        clock: Callable[[], float] = uptime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._place = place
        self._section = section
        self._clock = clock
        self._wall = wall
        self._last_step = 0.0
        boot = boot_id().encode()[:36]
        self._header = _HEADER.pack(_MAGIC, FORMAT, section.cells, boot)
        self._data_size = _data_size(section)

    def now(self) -> float:
        """Return the monotonic time."""
        return self._clock()

    def begin_slot(self, totals: Callable[[float], Totals]) -> float:
        """Take the snapshots that are due, unless another process is just doing so; return the time of the next one.

        That time is monotonic.

        Args:
            totals: Takes the monotonic time at which the slot began; returns the totals at any time since then, because
                no request was counted in the slot while its snapshot is due.

        Raises:
            OSError: The snapshots cannot be written.
        """
        with self._place.open() as ring:
            labels, offset = self._labels(ring)
            now = self._clock() + offset
            slot = math.floor(now / _SHORTEST)
            if _due(labels, now):
                # Before the lock and the time: if this process is stopped, the counts of others stay in the window.
                data = totals(slot * _SHORTEST - offset).cells.astype(np.int64).tobytes()
                # The very first snapshot is worth a wait: without it, the next counts would be in no window.
                with ring.locked(0.0 if labels.any() else _PATIENCE_SECONDS) as is_mine:
                    if is_mine:
                        self._take(ring, data)
        return (slot + 1) * _SHORTEST - offset

    def _take(self, ring: Ring, data: bytes) -> None:
        labels, offset = self._labels(ring)  # read again: another process may have been faster
        now = self._clock() + offset
        due = _due(labels, now)
        if not due:
            return
        if not labels.any():
            ring.clear()  # the ring is new, or of another boot or format
            if self._lack(ring):
                raise OSError(errno.ENOSPC, "snapshots would take the room that the counts themselves need")
        for place in due:
            label_at = _LABELS_AT + 8 * place
            ring.write(label_at, struct.pack("=d", math.nan))
            ring.write(self._data_at(place), data)
            ring.write(label_at, struct.pack("=d", now))

        ring.write(0, self._header + _OFFSET.pack(offset))

    def shortage(self) -> Shortage | None:
        """Return the room that lacks for the first snapshot; None if there is a snapshot, or room for one.

        Raises:
            OSError: The snapshots cannot be read.
        """
        with self._place.open() as ring:
            return None if self._labels(ring)[0].any() else self._lack(ring)

    def _lack(self, ring: Ring) -> Shortage | None:
        needed, free = _SHARE * _PLACES * self._data_size, ring.room()
        return Shortage(needed, free) if free < needed else None

    def history(self) -> History:
        """Return the snapshots of all windows; only their times are read now.

        Raises:
            OSError: The snapshots cannot be read.
        """
        with self._place.open() as ring:
            labels, offset = self._labels(ring)
        now = self._clock() + offset
        places = {place for window in _RINGS.values() for place in window.within(labels, now)}
        step = self._step(offset)
        own = {float(labels[place]) + step: (place, float(labels[place])) for place in places}
        return History(Snapshots(own, self._snapshot), now + step)

    def _step(self, offset: float) -> float:
        """Return the seconds by which the wall clock was set since the first snapshot; steady until it is set again."""
        step = self._wall() - self._clock() - offset
        if abs(step - self._last_step) > _STEP_SECONDS:
            self._last_step = step
        return self._last_step

    def _snapshot(self, place: int, taken: float) -> NDArray[np.int64] | None:
        with self._place.open() as ring:
            data = ring.read(self._data_at(place), self._data_size)
            after, _ = self._labels(ring)
        # Otherwise the snapshot was just overwritten, or the file was cut.
        is_whole = len(data) == self._data_size and after[place] == taken
        return np.frombuffer(data, np.int64) if is_whole else None

    def _labels(self, ring: Ring) -> tuple[_Labels, float]:
        """Return the Unix time of each snapshot, and the wall clock's lead over the monotonic clock."""
        data = ring.read(0, _LABELS_AT + 8 * _PLACES)
        if data[: _HEADER.size] != self._header or len(data) < _LABELS_AT:
            return np.zeros(_PLACES), self._wall() - self._clock()
        (offset,) = _OFFSET.unpack_from(data, _HEADER.size)
        if not abs(offset) < _LARGEST_OFFSET:  # the file is damaged
            return np.zeros(_PLACES), self._wall() - self._clock()
        labels = np.frombuffer(data.ljust(_LABELS_AT + 8 * _PLACES, b"\0"), np.float64, offset=_LABELS_AT)
        # The file may have been cut: there is no snapshot beyond its end.
        whole = (ring.size() - self._data_at(0)) // self._data_size
        return np.where(np.arange(_PLACES) < whole, labels, 0.0), offset

    def _data_at(self, place: int) -> int:
        return _LABELS_AT + 8 * _PLACES + place * self._data_size
