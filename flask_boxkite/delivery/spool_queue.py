"""The queue on disk, which falls back to memory while the disk takes no records."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from flask_boxkite.delivery.memory_queue import MemoryQueue
from flask_boxkite.delivery.queue import Chunk, Loss, Origin, origin_of
from flask_boxkite.delivery.timings import TIMINGS, Timings
from flask_boxkite.spool import LARGEST_SEGMENT, Log, OrphanLog, SpoolFullError, Taken
from flask_boxkite.system.faults import warn_of
from flask_boxkite.system.throttle import Throttle

__all__ = ["SpoolQueue"]

_MOVED_AT_ONCE = 64

_URGENT_BYTES = LARGEST_SEGMENT
"""After a whole segment, the thread makes the next one ready, which a request would have to do otherwise."""


class SpoolQueue:
    """A queue on disk. While the disk takes no records, they wait in memory, and move to the disk as soon as it does.

    Args:
        log: Records of this process, on disk.
        memory: Queue for records that the disk does not take.
        find_orphan: Returns the records of a dead process, if there are any to take over.
        timings: Times between two looks, and the clock.
    """

    outlives_process = True

    def __init__(
        self,
        log: Log,
        memory: MemoryQueue,
        find_orphan: Callable[[], OrphanLog | None],
        timings: Timings = TIMINGS,
    ) -> None:
        self._log = log
        self._memory = memory
        self._find_orphan = find_orphan
        self._timings = timings
        self.urgent_bytes = min(_URGENT_BYTES, memory.urgent_bytes)

        self._orphan: OrphanLog | None = None
        self._was_own_turn = False
        self._next_scan = self._next_recovery = 0.0
        self._record_bytes = 0
        self._lock = threading.Lock()
        self._losses: list[Loss] = []
        self._must_scan = False

        self._failure: Exception | None = None
        self._throttle = Throttle()
        # While this is True, records go to memory, so that none overtakes those that wait there already.
        self._is_degraded = False

    @property
    def unread_bytes(self) -> int:
        return self._log.unread * self._record_bytes + self._memory.unread_bytes

    @property
    def memory_bytes(self) -> int:
        return self._memory.memory_bytes

    @property
    def left(self) -> int:
        orphan = self._orphan
        return self._log.waiting + self._memory.left + (orphan.waiting if orphan is not None else 0)

    @property
    def is_settled(self) -> bool:
        return self.left == 0 and self._orphan is None and not self._must_scan

    @property
    def has_losses(self) -> bool:
        return bool(self._losses) or self._log.given_up > 0 or self._memory.has_losses

    @property
    def is_behind(self) -> bool:
        return self._orphan is not None or self._log.is_behind

    @property
    def pause(self) -> float:
        return self._timings.recovery_seconds if self._is_degraded else self._timings.scan_seconds

    # --- in the request ----------------------------------------------------------------------------------------------

    def put(self, record: bytes) -> bool:
        with self._lock:
            if not self._is_degraded:
                try:
                    self._append(record)
                except (OSError, SpoolFullError) as error:
                    self._is_degraded, self._failure = True, error
                else:
                    return True
            self._memory.put(record)
            return False

    def _append(self, record: bytes) -> None:
        self._log.append(record)
        self._record_bytes = len(record)

    # --- in the thread -----------------------------------------------------------------------------------------------

    def take(self, most_bytes: int) -> Chunk | None:
        self._was_own_turn = not self._was_own_turn  # in turns, so that neither log waits for all of the other
        if self._was_own_turn:
            return self._take_own(most_bytes) or self._take_orphan(most_bytes)
        return self._take_orphan(most_bytes) or self._take_own(most_bytes)

    def _take_own(self, most_bytes: int) -> Chunk | None:
        taken = self._log.take(most_bytes)
        return self._memory.take(most_bytes) if taken is None else self._chunk(self._log, taken)

    def _take_orphan(self, most_bytes: int) -> Chunk | None:
        orphan = self._orphan
        if orphan is None:
            return None
        taken = None

        with contextlib.suppress(OSError):  # another process may be able to read them, or this one later
            taken = orphan.take(most_bytes)
        if taken is not None:
            return self._chunk(orphan, taken)
        if lost := orphan.collect_lost():  # counted before the directory is removed
            self._lose("damaged", lost, origin_of(orphan))
        elif orphan.in_flight == 0:
            if orphan.waiting <= 0:
                self._must_scan = True  # where one process has died, others may have died too
            self._orphan = None
            orphan.close()

        return None

    @staticmethod
    def _chunk(log: Log | OrphanLog, taken: Taken) -> Chunk:
        return Chunk(taken.records, log.owner.tag, (log, taken._replace(records=[])))  # the chunk alone keeps them

    def settle(self, chunk: Chunk) -> None:
        if chunk.taken is None:
            self._memory.settle(chunk)
        else:
            log, taken = chunk.taken
            log.settle(taken)

    def wake(self) -> None:
        self._must_scan = True

    def maintain(self) -> None:
        """Maintain the log and look for dead processes' records; never raises OSError."""
        self._log.describe()
        if self._log.is_lost():
            self._save_what_is_left()

        self._tell_failure()
        now = self._timings.clock()
        if self._is_degraded and now >= self._next_recovery:
            self._next_recovery = now + self._timings.recovery_seconds
            self._recover()

        with contextlib.suppress(OSError, SpoolFullError):
            self._prepare()
        self._look_for_orphan()

    def _tell_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None and self._throttle.allows():
            warn_of(failure, "Records cannot be written to the spool; they wait in memory until they can.")

    def _prepare(self) -> None:
        """Make room for coming records; the oldest are given up for it, and a dead process has the oldest."""
        orphan = self._orphan
        while orphan is not None and self._log.lacks_room() and (given_up := orphan.give_up_oldest()):
            self._lose("spool_full", given_up, origin_of(orphan))
        self._log.prepare()

    def _lose(self, reason: str, records: int, origin: Origin) -> None:
        with self._lock:
            self._losses.append(Loss(reason, records, origin))

    def _save_what_is_left(self) -> None:
        with self._lock:
            records, lost = self._log.leave()
            self._memory.put_first(records)
            self._failure = FileNotFoundError("the directory of this process was deleted")
            if lost:
                self._losses.append(Loss("damaged", lost))
            self._is_degraded = True

    def _recover(self) -> None:
        """Move records from memory to the disk, few at a time, because requests wait for the lock."""
        with contextlib.suppress(OSError, SpoolFullError):
            while self._is_degraded:
                with self._lock:
                    self._is_degraded = not self._memory.move(self._append, _MOVED_AT_ONCE)

    def _look_for_orphan(self) -> None:
        now = self._timings.clock()
        if self._orphan is None and (self._must_scan or now >= self._next_scan):
            self._next_scan = now + self._timings.scan_seconds
            self._orphan = self._find_orphan()
            self._must_scan = False

    def close(self) -> int:
        # Records in flight may be delivered just now, so the lock on them stays until the process ends.
        if self._orphan is not None and self._orphan.in_flight == 0:
            self._orphan.close()
            self._orphan = None
        self._memory.close()
        return self._log.close()

    def forget(self) -> None:
        self._log.forget()
        if self._orphan is not None:
            self._orphan.forget()
        self._orphan = None

    def collect_losses(self) -> list[Loss]:
        with self._lock:
            losses, self._losses = self._losses, []
        if given_up := self._log.collect_given_up():
            losses.append(Loss("spool_full", given_up))
        return losses + self._memory.collect_losses()
