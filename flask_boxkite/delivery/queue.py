"""The interface of the queues in which records wait for a sink.

A queue knows nothing of sinks and threads. Any thread may call `put`; one thread at a time may call `take`, `settle`
and `maintain`. No record is lost uncounted: `collect_losses` returns the records that had to be given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from flask_boxkite.spool import Log, OrphanLog, Taken

__all__ = ["SMALL_QUEUE_PARTS", "Chunk", "Loss", "Origin", "Queue", "origin_of"]

SMALL_QUEUE_PARTS = 4
"""Part of the queue in memory that a batch, and the bytes at which the thread ships at once, may fill."""


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
        urgent_bytes: Such bytes at which they are best taken at once.
        memory_bytes: Bytes of the records in memory, taken or not.
        left: Number of records that are not settled and that this process is to deliver.
        is_settled: Whether none is left, as far as is known.
        is_behind: Whether older records wait than those that came just now, so that they are better taken at once.
        has_losses: Whether records were given up that were not collected yet.
        pause: Seconds after which `maintain` has work to do even if no record comes; None for never.
        outlives_process: Whether records may be put after `close`, for another process to deliver.
    """

    outlives_process: bool
    urgent_bytes: int

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
        """Hand out the oldest records, at most so many bytes but at least one record; None if there are none.

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
        """Close the parent's files, in a forked child."""

    def collect_losses(self) -> list[Loss]:
        """Return the records given up since the last call."""
