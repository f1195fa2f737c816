"""The last 5 minutes, hour and day of a section, as differences of snapshots of its totals.

Time is cut into slots. Who first counts in a new slot takes a snapshot of the totals of all processes before it does,
so that whatever is counted later is not in it. What a window holds is the total now, less the earliest snapshot taken
since the window began; without any, nothing was counted since. So idle times cost nothing, and processes may come, die
and be folded as they like: only totals matter. A window reaches back up to one slot less than its name says, and what
another process or thread counts while a snapshot is taken may stay in it for as much longer. While the process that
takes it is stopped, others take none: by so much the window may reach less or more far.

Memory is bounded: 192 snapshots, 8 bytes a count; 9 MiB for 100 features, written as time goes by.

Slots are those of the wall clock, so that records, which have its times, can be cut at the same moments. But time goes
by as the monotonic clock has it: how far apart the two are is noted once, with the first snapshot, so no later step of
the wall clock moves a window; the times of snapshots are told by the wall clock as it is now. All is void after a
reboot.
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
"""How long a slot lasts, by window."""

_SHARE = 2
"""A disk must have room for this many times as much as the snapshots of a day will take: the counts come first."""

_PATIENCE_SECONDS = 0.2
"""How long the start of a process waits for one that is just making the same ring."""


_Labels: TypeAlias = "NDArray[np.float64]"
"""When each snapshot was taken: 0 where there is none, NaN while it is being written."""


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
        """Return the places of the snapshots that were taken since the window began, in the order of their times."""
        own = labels[self.first : self.first + self.places]
        # Where the clock is at less than a window, as in a test, 0, for none, would be within it.
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
"""By so much the wall clock has been set, and has not just been read a little later."""

_LARGEST_OFFSET = 1e11
"""The year 5138; floats count it to 0.1 ms."""


def _data_size(section: Section) -> int:
    return 8 * section.cells


class Ring(Protocol):
    """Bytes that snapshots are kept in; zero where nothing was written."""

    def read(self, offset: int, size: int) -> bytes: ...

    def write(self, offset: int, data: bytes) -> None: ...

    def clear(self) -> None: ...

    def size(self) -> int: ...

    def room(self) -> float: ...

    def locked(self, patience_seconds: float) -> AbstractContextManager[bool]:
        """Keep other processes from writing, and give True; or False if one of them is."""


class RingPlace(Protocol):
    """Where a ring is."""

    def open(self) -> AbstractContextManager[Ring]:
        """Give the ring, made if need be.

        Raises:
            OSError: It cannot be opened or made.
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
        """Forget everything."""
        self._data = mmap.mmap(-1, self._size)  # takes memory only where it is written

    def size(self) -> int:
        """Return where it ends."""
        return self._size

    def room(self) -> float:
        """Return how much more may be written."""
        return math.inf

    @contextlib.contextmanager
    def locked(self, patience_seconds: float) -> Iterator[bool]:
        """Nobody else writes."""
        yield True


class RingFile:
    """Snapshots that all processes of a server share.

    Opened for each use, a few times a minute: so nothing is held that a forked child could hold too. Never mapped, so
    that no one who shortens it can hurt.

    Args:
        path: Of the file.
        is_read_only: Whether it is another server's: then it is not made, should there be none.
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
    """The snapshots of all windows by when they were taken, in Unix seconds, ascending; each is read when asked for.

    Reading raises OSError, or KeyError if the snapshot has just been overwritten.

    Args:
        labels: By time, the place of each and what is written there.
        read: Reads the snapshot of a place, if that is still written there.
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
        """Yield those of some times that are still there."""
        for taken in times:
            with contextlib.suppress(KeyError):
                yield taken, self[taken]


class History(NamedTuple):
    """The totals at the beginnings of all slots that are kept, of every window.

    Attributes:
        snapshots: Counts by time, each of shape (cells,).
        now: The time of reading, in Unix seconds.
    """

    snapshots: Snapshots
    now: float

    @classmethod
    def none(cls, now: float) -> History:
        """Return a history without snapshots."""
        return cls(Snapshots({}, lambda place, taken: None), now)

    def slots(self, name: str, totals: Totals) -> Slots:
        """Return what was counted in a window, slot by slot; the last slot is not over yet.

        A slot in which nothing was counted is left out. Never negative: counts may have been lost with files that
        somebody deleted.

        Args:
            name: Of the window.
            totals: Counts as of now, read after the snapshots.
        """
        taken = np.array(list(self.snapshots))
        is_first = np.diff(np.floor(taken / SLOT_SECONDS[name]), prepend=np.nan) != 0
        chosen = taken[is_first & (taken >= self.now - WINDOWS[name])]
        held = dict(self.snapshots.held(chosen.tolist()))
        cells = np.array([*held.values(), totals.cells])
        return Slots(self.now - np.array(list(held)), np.maximum(np.diff(cells, axis=0), 0))

    def window(self, name: str, totals: Totals) -> NDArray[np.int64]:
        """Return what was counted in a window, shape (cells,); arguments are those of `slots`."""
        within = (taken for taken in self.snapshots if taken >= self.now - WINDOWS[name])
        _, first = next(self.snapshots.held(within), (0.0, totals.cells))
        counts: NDArray[np.int64] = np.maximum(totals.cells - first, 0)
        return counts


class Slots(NamedTuple):
    """What was counted in a window, slot by slot; together it is what the window holds.

    Attributes:
        ages: How many seconds ago each slot began, shape (slots,), falling.
        cells: The counts, shape (slots, cells).
    """

    ages: NDArray[np.float64]
    cells: NDArray[np.int64]


class Shortage(NamedTuple):
    """Too little room for snapshots to begin.

    Attributes:
        needed: How many bytes must be free.
        free: How many are.
    """

    needed: float
    free: float


class Windows:
    """The windows of one section, in one process.

    Args:
        place: Where the snapshots are.
        section: What they are of.
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
        """Take the snapshots that are due, unless another process is just doing so; return when the next one will be.

        That is told by the monotonic clock.

        Args:
            totals: Returns the totals at any time since the slot began, when it did by the monotonic clock: while a
                snapshot is due, nothing was counted in the slot.

        Raises:
            OSError: They cannot be written.
        """
        with self._place.open() as ring:
            labels, offset = self._labels(ring)
            now = self._clock() + offset
            slot = math.floor(now / _SHORTEST)
            if _due(labels, now):
                # Before the lock and the time: wherever this process is stopped, what others count stays in the window.
                data = totals(slot * _SHORTEST - offset).cells.astype(np.int64).tobytes()
                # The very first snapshot is worth a wait: without it, what is counted now would be in no window.
                with ring.locked(0.0 if labels.any() else _PATIENCE_SECONDS) as is_mine:
                    if is_mine:
                        self._take(ring, data)
        return (slot + 1) * _SHORTEST - offset

    def _take(self, ring: Ring, data: bytes) -> None:
        labels, offset = self._labels(ring)  # once more: another process may have been faster
        now = self._clock() + offset
        due = _due(labels, now)
        if not due:
            return
        if not labels.any():
            ring.clear()  # it is new, or of another boot or format
            if self._lack(ring):
                raise OSError(errno.ENOSPC, "snapshots would take the room that the counts themselves need")
        for place in due:
            label_at = _LABELS_AT + 8 * place
            ring.write(label_at, struct.pack("=d", math.nan))
            ring.write(self._data_at(place), data)
            ring.write(label_at, struct.pack("=d", now))
        ring.write(0, self._header + _OFFSET.pack(offset))

    def shortage(self) -> Shortage | None:
        """Return what room is lacking for the first snapshot; None if there is one, or could be.

        Raises:
            OSError: They cannot be read.
        """
        with self._place.open() as ring:
            return None if self._labels(ring)[0].any() else self._lack(ring)

    def _lack(self, ring: Ring) -> Shortage | None:
        needed, free = _SHARE * _PLACES * self._data_size, ring.room()
        return Shortage(needed, free) if free < needed else None

    def history(self) -> History:
        """Return the snapshots of all windows; only their times are read now.

        Raises:
            OSError: They cannot be read.
        """
        with self._place.open() as ring:
            labels, offset = self._labels(ring)
        now = self._clock() + offset
        places = {place for window in _RINGS.values() for place in window.within(labels, now)}
        step = self._step(offset)
        own = {float(labels[place]) + step: (place, float(labels[place])) for place in places}
        return History(Snapshots(own, self._snapshot), now + step)

    def _step(self, offset: float) -> float:
        """Return how far the wall clock has been set since the first snapshot; the same until it is set again."""
        step = self._wall() - self._clock() - offset
        if abs(step - self._last_step) > _STEP_SECONDS:
            self._last_step = step
        return self._last_step

    def _snapshot(self, place: int, taken: float) -> NDArray[np.int64] | None:
        with self._place.open() as ring:
            data = ring.read(self._data_at(place), self._data_size)
            after, _ = self._labels(ring)
        # Else it was just overwritten, or someone has cut the file.
        is_whole = len(data) == self._data_size and after[place] == taken
        return np.frombuffer(data, np.int64) if is_whole else None

    def _labels(self, ring: Ring) -> tuple[_Labels, float]:
        """Return when each snapshot was taken, in Unix seconds, and how far the wall clock is ahead of the other."""
        data = ring.read(0, _LABELS_AT + 8 * _PLACES)
        if data[: _HEADER.size] != self._header or len(data) < _LABELS_AT:
            return np.zeros(_PLACES), self._wall() - self._clock()
        (offset,) = _OFFSET.unpack_from(data, _HEADER.size)
        if not abs(offset) < _LARGEST_OFFSET:  # of a damaged file
            return np.zeros(_PLACES), self._wall() - self._clock()
        labels = np.frombuffer(data.ljust(_LABELS_AT + 8 * _PLACES, b"\0"), np.float64, offset=_LABELS_AT)
        # Someone may have cut the file: there is no snapshot beyond its end.
        whole = (ring.size() - self._data_at(0)) // self._data_size
        return np.where(np.arange(_PLACES) < whole, labels, 0.0), offset

    def _data_at(self, place: int) -> int:
        return _LABELS_AT + 8 * _PLACES + place * self._data_size
