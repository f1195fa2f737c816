"""What waits for a sink: what every queue does, and the queue in memory.

A queue knows nothing of sinks and threads. `put` may come from any thread; `take`, `settle` and `tend` from one at a
time. Nothing is lost uncounted: what had to be given up is handed over by `collect_losses`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from flask_boxkite.spool import DeadLog, Log, Taken

__all__ = ["Chunk", "Loss", "MemoryQueue", "Origin", "Queue", "origin_of"]


class Origin(Enum):
    """Who has counted a record as accepted."""

    OWN = "this process"
    SERVER = "a dead process of this server"
    ELSEWHERE = "another server"


class Chunk(NamedTuple):
    """Records that were taken from a queue, to be settled when the sink has them.

    Attributes:
        records: Oldest first.
        tag: Under which they are filed; None for that of the sink.
        taken: Where they stand on disk, and the directory; None for those in memory.
    """

    records: Sequence[bytes]
    tag: str | None = None
    taken: tuple[Log | DeadLog, Taken] | None = None

    @property
    def origin(self) -> Origin:
        """Who has counted them."""
        return origin_of(self.taken[0]) if self.taken else Origin.OWN


def origin_of(log: Log | DeadLog) -> Origin:
    """Return who has counted the records of a directory."""
    if isinstance(log, DeadLog):
        return Origin.SERVER if log.is_counted else Origin.ELSEWHERE
    return Origin.OWN


class Loss(NamedTuple):
    """Records that were given up.

    Attributes:
        reason: One of `naming.DROP_REASONS`.
        records: How many.
        origin: Who has counted them.
    """

    reason: str
    records: int
    origin: Origin = Origin.OWN


class Queue(Protocol):
    """What the shipper needs of a queue.

    Attributes:
        unread_bytes: Of the records that are not taken yet; an estimate where they are on disk.
        memory_bytes: Of the records in memory, taken or not.
        left: Records that are not settled, and are this process's to deliver.
        is_settled: Whether there are none, as far as is known.
        is_behind: Whether there is more to take than has just come, so that it is better taken at once.
        has_losses: Whether records were given up that were not collected yet.
        pause: Seconds after which `tend` has work to do though nothing is put; None if never.
        outlives_process: Whether records may be put after `close`, for another process to deliver.
    """

    outlives_process: bool

    @property
    def pause(self) -> float | None: ...

    @property
    def is_behind(self) -> bool: ...

    @property
    def has_losses(self) -> bool: ...

    @property
    def unread_bytes(self) -> int: ...

    @property
    def memory_bytes(self) -> int: ...

    @property
    def left(self) -> int: ...

    @property
    def is_settled(self) -> bool: ...

    def put(self, record: bytes) -> bool:
        """Add a record; what does not fit any more is given up, the oldest first.

        Returns:
            Whether it is where it should be: False if it is in memory instead of on disk.
        """

    def take(self, most_bytes: int) -> Chunk | None:
        """Hand out the oldest records, at most so many bytes but at least one; None if there are none.

        Raises:
            OSError: They cannot be read just now.
        """

    def settle(self, chunk: Chunk) -> None:
        """Forget a chunk that was taken before all that are not settled."""

    def hurry(self) -> None:
        """Somebody waits: what `tend` does now and then is to be done before all is settled."""

    def tend(self) -> None:
        """Do what is to be done now and then; never raises OSError."""

    def close(self) -> int:
        """Take no more; return how many records are left on disk."""

    def forget(self) -> None:
        """In a forked child: let go of what is the parent's."""

    def collect_losses(self) -> list[Loss]:
        """Return what was given up since the last call."""


class MemoryQueue:
    """A bounded queue in memory.

    Args:
        max_bytes: Bound of what waits. What is taken counts too, but is not given up.
    """

    pause: float | None = None
    is_behind = False
    outlives_process = False

    def __init__(self, max_bytes: int) -> None:
        self.unread_bytes = 0
        self._max_bytes = max_bytes
        self._taken_bytes = 0
        self._taken = 0
        self._records: deque[bytes] = deque()
        self._given_up = 0
        self._lock = threading.Lock()

    @property
    def has_losses(self) -> bool:
        return self._given_up > 0

    @property
    def memory_bytes(self) -> int:
        return self.unread_bytes + self._taken_bytes

    @property
    def left(self) -> int:
        return len(self._records) + self._taken

    @property
    def is_settled(self) -> bool:
        return self.left == 0

    def put(self, record: bytes) -> bool:
        with self._lock:
            self._records.append(record)
            self.unread_bytes += len(record)
            while self._records and self.unread_bytes + self._taken_bytes > self._max_bytes:
                self.unread_bytes -= len(self._records.popleft())
                self._given_up += 1
        return True

    def put_first(self, records: Sequence[bytes]) -> None:
        """Put records before all others; they may exceed the bound."""
        with self._lock:
            self._records.extendleft(reversed(records))
            self.unread_bytes += sum(map(len, records))

    def take(self, most_bytes: int) -> Chunk | None:
        with self._lock:
            if not self._records:
                return None
            if self.unread_bytes <= most_bytes:  # as a rule; and requests wait for this lock
                records, size = list(self._records), self.unread_bytes
                self._records.clear()
            else:
                records, size = self._oldest(most_bytes)
            self.unread_bytes -= size
            self._taken_bytes += size
            self._taken += len(records)
            return Chunk(records)

    def _oldest(self, most_bytes: int) -> tuple[list[bytes], int]:
        records = [self._records.popleft()]
        size = len(records[0])
        while self._records and size + len(self._records[0]) <= most_bytes:
            size += len(self._records[0])
            records.append(self._records.popleft())
        return records, size

    def settle(self, chunk: Chunk) -> None:
        with self._lock:
            if self._taken:  # not closed meanwhile
                self._taken -= len(chunk.records)
                self._taken_bytes -= sum(map(len, chunk.records))

    def move(self, append: Callable[[bytes], None], most: int) -> bool:
        """Hand records that are not taken to *append*, the oldest first; return whether none is left.

        A record stays if *append* raises.
        """
        with self._lock:
            for _ in range(min(most, len(self._records))):
                append(self._records[0])
                self.unread_bytes -= len(self._records.popleft())
            return not self._records

    def hurry(self) -> None:
        pass

    def tend(self) -> None:
        pass

    def close(self) -> int:
        with self._lock:
            self._records.clear()
            self.unread_bytes = self._taken_bytes = self._taken = 0
        return 0

    def forget(self) -> None:
        pass

    def collect_losses(self) -> list[Loss]:
        with self._lock:
            given_up, self._given_up = self._given_up, 0
        return [Loss("queue_full", given_up)] if given_up else []
