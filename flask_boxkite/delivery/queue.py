"""Queues of records that wait for a sink: the interface of every queue, and the queue in memory.

A queue knows nothing of sinks and threads. Any thread may call `put`; one thread at a time may call `take`, `settle`
and `maintain`. No record is lost uncounted: `collect_losses` returns the records that had to be given up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from flask_boxkite.spool import Log, OrphanLog, Taken

__all__ = ["Chunk", "Loss", "MemoryQueue", "Origin", "Queue", "origin_of"]


class Origin(Enum):
    """The process or server that counted a record as accepted."""

    OWN = "this process"
    SERVER = "a dead process of this server"
    ELSEWHERE = "another server"


class Chunk(NamedTuple):
    """Records that were taken from a queue, to be settled when the sink has them.

    Attributes:
        records: Packed records, oldest first.
        tag: Tag to deliver them under; None for the sink's own tag.
        taken: Directory and entries of the records on disk; None for records in memory.
    """

    records: Sequence[bytes]
    tag: str | None = None
    taken: tuple[Log | OrphanLog, Taken] | None = None

    @property
    def origin(self) -> Origin:
        """The process or server that counted the records as accepted."""
        return origin_of(self.taken[0]) if self.taken else Origin.OWN


def origin_of(log: Log | OrphanLog) -> Origin:
    """Return the process or server that counted the records of a directory as accepted."""
    if isinstance(log, OrphanLog):
        return Origin.SERVER if log.is_counted else Origin.ELSEWHERE
    return Origin.OWN


class Loss(NamedTuple):
    """Records that were given up.

    Attributes:
        reason: Reason for the loss, one of `naming.DROP_REASONS`.
        records: Number of records.
        origin: Process or server that counted them as accepted.
    """

    reason: str
    records: int
    origin: Origin = Origin.OWN


class Queue(Protocol):
    """The interface of a queue, as the shipper uses it.

    Attributes:
        unread_bytes: Bytes of the records that are not taken yet; an estimate for records on disk.
        memory_bytes: Bytes of the records in memory, taken or not.
        left: Number of records that are not settled and that this process is to deliver.
        is_settled: Whether none is left, as far as is known.
        is_behind: Whether older records wait than those that came just now, so that they are better taken at once.
        has_losses: Whether records were given up that were not collected yet.
        pause: Seconds after which `maintain` has work to do even if no record comes; None for never.
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
        """Add a record; the oldest records are given up where there is no room.

        Returns:
            False if the record waits in memory although it should be on disk; otherwise True.
        """

    def take(self, most_bytes: int) -> Chunk | None:
        """InFlight out the oldest records, at most so many bytes but at least one record; None if there are none.

        Raises:
            OSError: The records cannot be read just now.
        """

    def settle(self, chunk: Chunk) -> None:
        """Forget a chunk; chunks are settled in the order in which they were taken."""

    def wake(self) -> None:
        """Have `maintain` do all its work at its next call, and settle nothing before: a caller waits."""

    def maintain(self) -> None:
        """Do the work that is due now and then; never raises OSError."""

    def close(self) -> int:
        """Take no more records; return the number of records left on disk."""

    def forget(self) -> None:
        """Close what belongs to the parent, in a forked child."""

    def collect_losses(self) -> list[Loss]:
        """Return the records given up since the last call."""


class MemoryQueue:
    """A bounded queue in memory.

    Args:
        max_bytes: Bound of the bytes that wait. Taken records count too, but are not given up.
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
            if self.unread_bytes <= most_bytes:  # the usual case is quick, because requests wait for this lock
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
            if self._taken:  # 0 after `close`
                self._taken -= len(chunk.records)
                self._taken_bytes -= sum(map(len, chunk.records))

    def move(self, append: Callable[[bytes], None], most: int) -> bool:
        """Move records that are not taken to *append*, the oldest first; return whether none is left.

        A record stays if *append* raises.
        """
        with self._lock:
            for _ in range(min(most, len(self._records))):
                append(self._records[0])
                self.unread_bytes -= len(self._records.popleft())
            return not self._records

    def wake(self) -> None:
        pass

    def maintain(self) -> None:
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
