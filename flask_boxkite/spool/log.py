"""The records of this process on disk: a directory of segments; records are appended to the last one.

The processes that share a spool bound its size together: each sums up all files before it adds one. Beyond the bound,
a process gives up its own oldest records, but none that are just being delivered.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

from flask_boxkite.spool.directory import NEW, SPARE, SUFFIX, remove_directory, spool_bytes
from flask_boxkite.spool.owner import OWNER, Owner
from flask_boxkite.spool.segment import HEADER, Segment, Taken, room_for
from flask_boxkite.system.files import write_all
from flask_boxkite.system.locks import OwnerLock, locked
from flask_boxkite.system.permissions import make_private

__all__ = ["LARGEST_SEGMENT", "Log", "SpoolFullError"]

_PARTS = 64
_SMALLEST, LARGEST_SEGMENT = 16 * 1024, 1024 * 1024
"""A segment is this part of the bound, within these limits, so that few records are given up at once."""

_BLOCK = 4096
_PATIENCE_SECONDS = 0.05


class SpoolFullError(Exception):
    """The spool is full of records that this process may not give up."""

    def __init__(self) -> None:
        super().__init__("the bound of the spool ('BOXKITE_SPOOL_BYTES') is reached by records of others")


class Log:
    """The records of this process, from the request until they are settled. No file is made before the first record.

    Any thread may call `append`; one thread at a time may call `prepare`, `take` and `settle`.

    Args:
        directory: Directory of the records; its parent is the spool.
        describe: Returns the present content of the owner file.
        max_bytes: Bound of the whole spool.

    Attributes:
        waiting: Number of records that are not settled.
        unread: Number of waiting records that were not handed out yet.
        given_up: Number of records given up for newer ones since the last `collect_given_up`.
    """

    def __init__(self, directory: Path, describe: Callable[[], Owner], max_bytes: int) -> None:
        self.directory = directory
        self.waiting = self.unread = self.given_up = 0
        self.owner = describe()

        self._describe = describe
        self._root = directory.parent
        self._max_bytes = max_bytes
        self._segment_bytes = min(max(max_bytes // _PARTS, _SMALLEST), LARGEST_SEGMENT)
        self._numbers = itertools.count(1)
        self._owner_lock: OwnerLock | None = None

        self._lock = threading.RLock()  # guards the attributes below
        self._segments: deque[Segment] = deque()
        self._spare: Segment | None = None
        self._being_read: Segment | None = None

    def append(self, record: bytes) -> None:
        """Add a record; the oldest ones may be given up for it.

        Raises:
            OSError: The segment cannot be written: the disk is full, say.
            SpoolFullError: The bound is reached.
        """
        with self._lock:
            if not self._append(record):
                self._begin_segment(HEADER + room_for(len(record)))
                self._append(record)
            self.waiting += 1
            self.unread += 1

    def _append(self, record: bytes) -> bool:
        segments = self._segments
        return bool(segments) and segments[-1].is_open and segments[-1].append(record)

    def _begin_segment(self, size: int) -> None:
        if self._segments:
            self._seal(self._segments[-1])
        segment, self._spare = self._spare, None
        if segment is None or segment.size < size:
            if segment is not None:
                segment.remove()
            segment = self._make_segment(size)
        segment.move(self.directory / f"{next(self._numbers):012}{SUFFIX}")
        self._segments.append(segment)

    def _seal(self, segment: Segment) -> None:
        segment.seal()
        if segment.settled == segment.count:
            self._remove(segment)

    @property
    def is_behind(self) -> bool:
        """Whether records in older segments than the open one wait to be handed out."""
        with self._lock:
            oldest = next((segment for segment in self._segments if segment.taken < segment.count), None)
            return oldest is not None and not oldest.is_open

    def lacks_room(self) -> bool:
        """Say whether the next segment would exceed the bound."""
        is_needed = self._spare is None and bool(self._segments)
        return is_needed and spool_bytes(self._root) + self._segment_bytes > self._max_bytes

    def prepare(self) -> None:
        """Make the next segment ready, so that no request has to; the oldest records may be given up for it.

        Raises:
            OSError: The segment cannot be made: the disk is full, say.
            SpoolFullError: The bound is reached.
        """
        if self._spare is not None or not self._segments:
            return
        spare = self._make_segment(0)
        spare.warm()
        with self._lock:
            if self._spare is None:
                self._spare = spare
            else:
                spare.remove()

    def _make_segment(self, least_bytes: int) -> Segment:
        size = max(self._segment_bytes, -(-least_bytes // _BLOCK) * _BLOCK)
        self._open()
        with self._bound_locked():
            self._make_room(size)
            return Segment.create(self.directory / f"{SPARE}-{uuid4().hex}", size)

    def _open(self) -> None:
        """Make the directory under a temporary name and lock it before others can see it."""
        with self._lock:
            if self._owner_lock is not None:
                return
            make_private(self._root)
            self.owner = self._describe()

            temporary = self._root / f"{NEW}{uuid4().hex}"
            temporary.mkdir(mode=0o700)
            lock = None
            try:
                lock = OwnerLock(temporary / OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL)
                write_all(lock.descriptor, self.owner.dump(), 0)
                temporary.rename(self.directory)
            except BaseException:
                if lock is not None:
                    lock.close()
                remove_directory(temporary)
                raise

            self._owner_lock = lock

    def _make_room(self, size: int) -> None:
        excess = spool_bytes(self._root) + size - self._max_bytes
        if excess <= 0:
            return

        with self._lock:
            oldest = []
            for segment in filter(self._may_give_up, self._segments):
                oldest.append(segment)
                excess -= segment.size
                if excess <= 0:
                    break
            else:  # all of them together would not make enough room, so none is given up
                raise SpoolFullError

            for segment in oldest:
                count = segment.count - segment.settled
                self._remove(segment)
                self.waiting -= count
                self.unread -= count
                self.given_up += count

    def collect_given_up(self) -> int:
        """Return the number of records given up for newer ones since the last call."""
        with self._lock:
            given_up, self.given_up = self.given_up, 0
            return given_up

    def _may_give_up(self, segment: Segment) -> bool:
        return not segment.is_open and segment is not self._being_read and segment.taken == segment.settled

    @contextlib.contextmanager
    def _bound_locked(self) -> Iterator[None]:
        """Keep other processes from adding segments; but exceed the bound by one segment rather than wait for long."""
        descriptor = os.open(self._root, os.O_RDONLY | os.O_CLOEXEC)  # follows a link: users may make the spool one
        try:
            with locked(descriptor, _PATIENCE_SECONDS):
                yield
        finally:
            os.close(descriptor)

    def _remove(self, segment: Segment) -> None:
        with contextlib.suppress(OSError):
            segment.remove()
        with contextlib.suppress(ValueError):
            self._segments.remove(segment)

    # --- delivering --------------------------------------------------------------------------------------------------

    def take(self, most_bytes: int) -> Taken | None:
        """Hand out the oldest records that were not handed out yet; None if there are none.

        Raises:
            OSError: They cannot be read just now.
        """
        with self._lock:
            segment = next((segment for segment in self._segments if segment.taken < segment.count), None)
            self._being_read = segment

        if segment is None:
            return None
        try:
            taken = segment.take(most_bytes)
        finally:
            self._being_read = None

        with self._lock:
            self.unread -= taken.entries
        return taken

    def settle(self, taken: Taken) -> None:
        """Forget the oldest records that were handed out and not settled; never raises OSError."""
        segment = taken.segment
        with self._lock, contextlib.suppress(OSError):
            self.waiting -= taken.entries
            if segment.is_open:
                segment.settle(taken)
                return
        with contextlib.suppress(OSError):  # at worst the records are delivered twice
            segment.settle(taken)
        if segment.settled == segment.count:
            with self._lock:
                self._remove(segment)

    # --- looking after it --------------------------------------------------------------------------------------------

    def is_lost(self) -> bool:
        """Say whether the directory was deleted by others."""
        lock = self._owner_lock
        return lock is not None and not lock.is_linked()

    def leave(self) -> tuple[list[bytes], int]:
        """Begin again after the directory was deleted, in part or in full; the rest of it is removed.

        Returns:
            Records that are still in memory, and the number of records that are lost.
        """
        rescued: list[bytes] = []
        with self._lock:
            for segment in self._segments:
                if segment.is_open and segment.taken < segment.count:
                    rescued += segment.take(segment.size).records

            in_flight = sum(segment.taken - segment.settled for segment in self._segments) - len(rescued)
            lost = self.waiting - in_flight - len(rescued)

            self.waiting, self.unread = in_flight, 0
            self._segments.clear()
            self._spare = None
            remove_directory(self.directory)
            self._close()
        return rescued, lost

    def describe(self) -> None:
        """Bring the owner file up to date; never raises OSError."""
        owner, lock = self._describe(), self._owner_lock
        if lock is not None and owner != self.owner:
            with contextlib.suppress(OSError):  # tried again next time
                write_all(lock.descriptor, owner.dump().ljust(_BLOCK), 0)
                self.owner = owner

    def close(self) -> int:
        """Remove the directory if nothing waits; otherwise keep it, and its lock, until the process ends.

        Returns:
            Number of records that wait.
        """
        with self._lock:
            if self.waiting == 0 and self._owner_lock is not None:
                self._segments.clear()
                self._spare = None
                remove_directory(self.directory)
                self._close()
            return self.waiting

    def forget(self) -> None:
        """Close the descriptor of the lock in a forked child; the lock is the parent's."""
        self._close()

    def _close(self) -> None:
        lock, self._owner_lock = self._owner_lock, None
        if lock is not None:
            lock.close()
