"""The records that a dead process left, for the process that takes them over."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from flask_boxkite.spool.directory import remove_directory, segments, unlink, waiting_records
from flask_boxkite.spool.owner import Owner
from flask_boxkite.spool.segment import Segment, SegmentError, Taken
from flask_boxkite.system.locks import OwnerLock

__all__ = ["OrphanLog"]


class OrphanLog:
    """Records of a dead process that this one took over: no other process has them while this object exists.

    Args:
        directory: Directory of the records.
        owner: Content of the owner file.
        lock: Lock of the owner file.
        is_counted: Says whether the records are among those that this server has accepted. That ends once a user
            deletes the server's counts.

    Attributes:
        waiting: Number of records that are not settled.
        in_flight: Number of waiting records that were handed out.
    """

    def __init__(self, directory: Path, owner: Owner, lock: OwnerLock, *, is_counted: Callable[[], bool]) -> None:
        self.directory = directory
        self.owner = owner
        self._is_counted = is_counted
        self._was_counted = is_counted()
        self.waiting = waiting_records(directory)
        self.in_flight = 0
        self._lock = lock
        self._paths = deque(segments(directory))
        self._segment: Segment | None = None

    @property
    def is_counted(self) -> bool:
        """Whether the records are among those that this server has accepted."""
        # The server's numbers name no deleted directory, but they include its records.
        if self._lock.is_linked():
            with contextlib.suppress(OSError):  # then the last answer stands
                self._was_counted = self._is_counted()
        return self._was_counted

    def take(self, most_bytes: int) -> Taken | None:
        """Hand out the oldest records that were not handed out yet; None if there are none.

        Raises:
            OSError: They cannot be read just now.
        """
        while self._segment is None or self._segment.taken == self._segment.count:
            if not self._paths:
                return None
            self._segment = self._load(self._paths[0])
            self._paths.popleft()
        taken = self._segment.take(most_bytes)
        self.in_flight += taken.entries
        return taken

    def give_up_oldest(self) -> int:
        """Delete the oldest segment that is not in flight; return the number of records given up, 0 if there is none.

        Raises:
            OSError: It cannot be read just now.
        """
        while self._paths:
            path, count = self._paths[0], 0
            with contextlib.suppress(SegmentError):
                count = Segment.unsettled(path)
            unlink(path)
            self._paths.popleft()
            self.waiting -= count
            if count:
                return count
        return 0

    def collect_lost(self) -> int:
        """Return how many records wait and cannot be found, once: a user deleted their files, say."""
        is_read = not self._paths and (self._segment is None or self._segment.taken == self._segment.count)
        lost = max(self.waiting - self.in_flight, 0) if is_read else 0
        self.waiting -= lost
        return lost

    def _load(self, path: Path) -> Segment | None:
        """Return a segment with entries left; remove an empty one and return None."""
        with contextlib.suppress(SegmentError):
            segment = Segment.load(path)
            if segment.taken < segment.count:
                return segment
        unlink(path)
        return None

    def settle(self, taken: Taken) -> None:
        """Forget the oldest records that were handed out and not settled; never raises OSError."""
        self.waiting -= taken.entries
        self.in_flight -= taken.entries
        with contextlib.suppress(OSError):
            taken.segment.settle(taken)
            if taken.segment.settled == taken.segment.count:
                taken.segment.remove()

    def close(self) -> None:
        """Remove the directory if all is settled; otherwise leave it to another process."""
        if self.waiting <= 0 and not self._paths:
            remove_directory(self.directory)
        self._lock.release()

    def forget(self) -> None:
        """Close the descriptor of the lock in a forked child; the lock is the parent's."""
        self._lock.close()
