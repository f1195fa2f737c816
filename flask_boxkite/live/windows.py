"""The last 5 minutes, hour and day of a section, as differences of snapshots of its totals.

Time is cut into slots. The first process that counts in a new slot takes a snapshot of the totals of all processes
before it counts. A window holds the total now, less the earliest snapshot since the window began; without a snapshot,
no request was counted since. So idle times cost nothing, and processes may come, die and be folded at any time.

A window reaches back up to one slot less than its name says. Counts that another process or thread adds while a
snapshot is taken may stay in the window for a slot longer. If the process that takes a snapshot is stopped, others take
none, and the window may be off by the time of the stop.

Memory is bounded: 192 snapshots, 8 bytes a count; 9 MiB for 100 features and 27 MiB more for each variable with ten
segments, written as time goes by.

Slots begin at times of the wall clock, so that records, which carry its times, can be cut at the same moments. But the
monotonic clock measures the time that passes: the first snapshot notes the difference of the two clocks, so no later
step of the wall clock moves a window. Readers see the times of snapshots by the present wall clock. A reboot voids all
snapshots.
"""

from __future__ import annotations

import contextlib
import errno
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.live.clock import uptime
from flask_boxkite.live.section import Section
from flask_boxkite.live.snapshot_ring import SNAPSHOTS, Labels, OpenRing, RingFormat, RingStorage
from flask_boxkite.live.totals import Totals
from flask_boxkite.system.process import boot_id

__all__ = [
    "LONGEST",
    "SLOT_SECONDS",
    "WINDOWS",
    "History",
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

_STEP_SECONDS = 1.0
"""A larger difference means that the wall clock was set, and not just read a little later."""


@dataclass(frozen=True)
class _RingPart:
    """The snapshots for one window: slot *n* stands at index ``first + n % count``."""

    seconds: float
    slot: float
    first: int
    count: int

    def index(self, now: float) -> int:
        """Return the index of the slot of *now*."""
        return self.first + math.floor(now / self.slot) % self.count

    def is_due(self, labels: Labels, now: float) -> bool:
        """Say whether the slot of *now* has no snapshot."""
        taken = labels[self.index(now)]
        return not (0 < taken < math.inf and math.floor(taken / self.slot) == math.floor(now / self.slot))

    def within(self, labels: Labels, now: float) -> list[int]:
        """Return the indices of the snapshots since the window began, oldest first."""
        own = labels[self.first : self.first + self.count]
        # A clock near 0, as in a test, would put 0, which stands for no snapshot, into the window.
        is_within = (own > 0) & (own >= now - self.seconds) & (own <= now)
        taken = np.where(is_within, own, np.inf)
        order = np.argsort(taken, kind="stable")[: np.count_nonzero(is_within)]
        return [self.first + int(index) for index in order]


def _ring_parts() -> list[_RingPart]:
    parts: list[_RingPart] = []
    first = 0
    for name, seconds in WINDOWS.items():
        slot = SLOT_SECONDS[name]
        parts.append(_RingPart(seconds, slot, first, math.ceil(seconds / slot) + 2))
        first += parts[-1].count
    return parts


_RING_PARTS = _ring_parts()
_SHORTEST = min(SLOT_SECONDS.values())


def _due(labels: Labels, now: float) -> list[int]:
    """Return the indices of the snapshots that are due."""
    return [part.index(now) for part in _RING_PARTS if part.is_due(labels, now)]


class Snapshots(Mapping[float, "NDArray[np.int64]"]):
    """The snapshots of all windows by their times, in Unix seconds, ascending; each is read at its first use.

    Reading raises OSError, or KeyError if the snapshot has just been overwritten.

    Args:
        labels: Index and label of each snapshot, by time.
        read: Returns the snapshot at an index, or None if its label has changed.
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

    def present(self, times: Iterable[float]) -> Iterator[tuple[float, NDArray[np.int64]]]:
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
        return cls(Snapshots({}, lambda index, taken: None), now)

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
        starts = dict(self.snapshots.present(chosen.tolist()))
        cells = np.array([*starts.values(), totals.cells])
        return Slots(self.now - np.array(list(starts)), np.maximum(np.diff(cells, axis=0), 0))

    def window(self, name: str, totals: Totals) -> NDArray[np.int64]:
        """Return the counts of a window, shape (cells,); the arguments are the same as for `slots`."""
        within = (taken for taken in self.snapshots if taken >= self.now - WINDOWS[name])
        _, first = next(self.snapshots.present(within), (0.0, totals.cells))
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
        storage: Storage of the snapshots.
        section: Section whose counts they hold.
        clock: Returns the monotonic time.
        wall: Returns the Unix time.
        boot: Returns the id of the machine's boot.
    """

    def __init__(
        self,
        storage: RingStorage,
        section: Section,
        clock: Callable[[], float] = uptime,
        wall: Callable[[], float] = time.time,
        *,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        self._storage = storage
        self._format = RingFormat(section.cells, boot())
        self._clock = clock
        self._wall = wall
        self._last_step = 0.0

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
        with self._storage.open() as ring:
            labels, lead = self._labels(ring)
            now = self._clock() + lead
            slot = math.floor(now / _SHORTEST)

            if _due(labels, now):
                # Before the lock and the time: if this process is stopped, the counts of others stay in the window.
                data = totals(slot * _SHORTEST - lead).cells.astype(np.int64).tobytes()
                # The very first snapshot is worth a wait: without it, the next counts would be in no window.
                with ring.locked(0.0 if labels.any() else _PATIENCE_SECONDS) as is_mine:
                    if is_mine:
                        self._take(ring, data)
        return (slot + 1) * _SHORTEST - lead

    def _take(self, ring: OpenRing, data: bytes) -> None:
        labels, lead = self._labels(ring)  # read again: another process may have been faster
        now = self._clock() + lead
        due = _due(labels, now)
        if not due:
            return

        if not labels.any():
            ring.clear()  # the ring is new, or of another boot or format
            if self._lack(ring):
                raise OSError(errno.ENOSPC, "Snapshots would take the room that the counts themselves need")
        self._format.write(ring, due, data, now, lead)

    def shortage(self) -> Shortage | None:
        """Return the room that lacks for the first snapshot; None if there is a snapshot, or room for one.

        Raises:
            OSError: The snapshots cannot be read.
        """
        with self._storage.open() as ring:
            return None if self._labels(ring)[0].any() else self._lack(ring)

    def _lack(self, ring: OpenRing) -> Shortage | None:
        needed, free = _SHARE * SNAPSHOTS * self._format.snapshot_bytes, ring.room()
        return Shortage(needed, free) if free < needed else None

    def history(self) -> History:
        """Return the snapshots of all windows; only their times are read now.

        Raises:
            OSError: The snapshots cannot be read.
        """
        with self._storage.open(to_read=True) as ring:
            labels, lead = self._labels(ring)
        now = self._clock() + lead
        indices = {index for part in _RING_PARTS for index in part.within(labels, now)}
        step = self._step(lead)
        own = {float(labels[index]) + step: (index, float(labels[index])) for index in indices}
        return History(Snapshots(own, self._snapshot), now + step)

    def _step(self, lead: float) -> float:
        """Return the seconds by which the wall clock was set since the first snapshot; steady until it is set again."""
        step = self._wall() - self._clock() - lead
        if abs(step - self._last_step) > _STEP_SECONDS:
            self._last_step = step
        return self._last_step

    def _snapshot(self, index: int, taken: float) -> NDArray[np.int64] | None:
        with self._storage.open(to_read=True) as ring:
            snapshot = self._format.snapshot(ring, index)
        # Otherwise the snapshot was just overwritten, or the file was cut.
        return np.frombuffer(snapshot.data, np.int64) if snapshot is not None and snapshot.label == taken else None

    def _labels(self, ring: OpenRing) -> tuple[Labels, float]:
        """Return the Unix time of each snapshot, and the wall clock's lead over the monotonic clock."""
        labels = self._format.labels(ring)
        return (np.zeros(SNAPSHOTS), self._wall() - self._clock()) if labels is None else labels
