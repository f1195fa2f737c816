"""The records of this process: a directory of segments, to the last of which it writes.

The processes that share a spool bound its size together: each looks at all files before it adds one. Beyond the bound,
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
from flask_boxkite.system.files import OwnerLock, locked, make_private, write_all

__all__ = ["Log", "SpoolFullError"]

_PARTS = 64
_SMALLEST, _LARGEST = 16 * 1024, 1024 * 1024
"""A segment is this part of the bound, within these limits: few records are given up at once."""

_BLOCK = 4096
_PATIENCE_SECONDS = 0.05


class SpoolFullError(Exception):
    """The bound is reached by records that this process may not give up."""

    def __init__(self) -> None:
        super().__init__("the bound of the spool ('BOXKITE_SPOOL_BYTES') is reached by records of others")


class Log:
    """The records of this process, from the request until they are settled. Nothing is on disk before the first.

    `append` may come from any thread; `prepare`, `take` and `settle` from one at a time.

    Args:
        directory: Where; its parent is the spool.
        describe: Returns what the directory is to say of itself now.
        max_bytes: Bound of the whole spool.

    Attributes:
        waiting: How many are not settled.
        unread: How many of those were not handed out yet.
        given_up: How many had to make room for newer ones, of those that `collect_given_up` did not return yet.
    """

    def __init__(self, directory: Path, describe: Callable[[], Owner], max_bytes: int) -> None:
        self.directory = directory
        self.waiting = self.unread = self.given_up = 0
        self.owner = describe()
        self._describe = describe
        self._root = directory.parent
        self._max_bytes = max_bytes
        self._segment_bytes = min(max(max_bytes // _PARTS, _SMALLEST), _LARGEST)
        self._numbers = itertools.count(1)
        self._owner_lock: OwnerLock | None = None
        self._lock = threading.RLock()  # guards what follows
        self._segments: deque[Segment] = deque()
        self._spare: Segment | None = None
        self._being_read: Segment | None = None

    def append(self, record: bytes) -> None:
        """Add a record; the oldest may be given up for it.

        Raises:
            OSError: The disk is full, say.
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
        """Whether records wait to be handed out that are not the newest."""
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
            OSError: The disk is full, say.
            SpoolFullError: The bound is reached.
        """
        if self._spare is not None or not self._segments:
            return
        spare = self._make_segment(0)
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
        """Make the directory: nobody sees it before it is locked."""
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
            else:  # so that nothing is given up in vain
                raise SpoolFullError
            for segment in oldest:
                count = segment.count - segment.settled
                self._remove(segment)
                self.waiting -= count
                self.unread -= count
                self.given_up += count

    def collect_given_up(self) -> int:
        """Return how many records had to make room for newer ones since the last call."""
        with self._lock:
            given_up, self.given_up = self.given_up, 0
            return given_up

    def _may_give_up(self, segment: Segment) -> bool:
        return not segment.is_open and segment is not self._being_read and segment.taken == segment.settled

    @contextlib.contextmanager
    def _bound_locked(self) -> Iterator[None]:
        """Keep others from adding segments meanwhile; but rather exceed the bound by one than wait for long."""
        descriptor = os.open(self._root, os.O_RDONLY | os.O_CLOEXEC)  # may be a link, if somebody wants the spool so
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
        """Hand out the oldest records that are not yet; None if there are none.

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
        """Forget records that were handed out before all that are not settled; never raises OSError."""
        segment = taken.segment
        with self._lock, contextlib.suppress(OSError):
            self.waiting -= taken.entries
            if segment.is_open:
                segment.settle(taken)
                return
        with contextlib.suppress(OSError):  # at worst they come again
            segment.settle(taken)
        if segment.settled == segment.count:
            with self._lock:
                self._remove(segment)

    # --- looking after it --------------------------------------------------------------------------------------------

    def is_lost(self) -> bool:
        """Say whether somebody deleted the directory."""
        lock = self._owner_lock
        return lock is not None and not lock.is_linked()

    def leave(self) -> tuple[list[bytes], int]:
        """Begin anew after the directory was deleted: return what is still in memory, and how many records are lost.

        Of a directory of which only a part was deleted, the rest is removed.
        """
        rescued: list[bytes] = []
        with self._lock:
            for segment in self._segments:
                if segment.is_open and segment.taken < segment.count:
                    rescued += segment.take(segment.size).records
            in_hand = sum(segment.taken - segment.settled for segment in self._segments) - len(rescued)
            lost = self.waiting - in_hand - len(rescued)
            self.waiting, self.unread = in_hand, 0
            self._segments.clear()
            self._spare = None
            remove_directory(self.directory)
            self._close()
        return rescued, lost

    def describe(self) -> None:
        """Let the directory say what is true now; never raises OSError."""
        owner, lock = self._describe(), self._owner_lock
        if lock is not None and owner != self.owner:
            with contextlib.suppress(OSError):  # tried again next time
                write_all(lock.descriptor, owner.dump().ljust(_BLOCK), 0)
                self.owner = owner

    def close(self) -> int:
        """Remove the directory if nothing waits; else keep it, and its lock, until the process ends.

        Returns:
            How many records wait.
        """
        with self._lock:
            if self.waiting == 0 and self._owner_lock is not None:
                self._segments.clear()
                self._spare = None
                remove_directory(self.directory)
                self._close()
            return self.waiting

    def forget(self) -> None:
        """In a forked child: let go of the lock, which is the parent's."""
        self._close()

    def _close(self) -> None:
        lock, self._owner_lock = self._owner_lock, None
        if lock is not None:
            lock.close()
