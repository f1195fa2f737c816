"""What waits on disk, with memory to fall back to while the disk takes nothing."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from flask_boxkite.delivery.queue import Chunk, Loss, MemoryQueue, Origin, origin_of
from flask_boxkite.spool import DeadLog, Log, SpoolFullError, Taken
from flask_boxkite.system.throttle import Throttle

__all__ = ["SpoolQueue"]

logger = logging.getLogger("flask_boxkite")

SCAN_SECONDS = 5.0
"""How often a process looks for the records of dead ones."""

RECOVERY_SECONDS = 1.0
"""How often it tries whether the disk has room again."""

_MOVED_AT_ONCE = 64


class SpoolQueue:
    """A queue on disk; while the disk takes nothing, in memory, from which records move to the disk once it does again.

    Args:
        log: Of this process, on disk.
        memory: What to fall back to.
        find_dead: Returns the records of a process that has died, if there are any to take over.
    """

    outlives_process = True

    def __init__(self, log: Log, memory: MemoryQueue, find_dead: Callable[[], DeadLog | None]) -> None:
        self._log = log
        self._memory = memory
        self._find_dead = find_dead
        self._dead: DeadLog | None = None
        self._was_own_turn = False
        self._next_scan = self._next_recovery = 0.0
        self._record_bytes = 0
        self._lock = threading.Lock()
        self._losses: list[Loss] = []
        self._must_scan = False
        self._failure: Exception | None = None
        self._throttle = Throttle()
        # While it is True, records go to memory, so that none overtakes those that are there already.
        self._is_degraded = False

    @property
    def unread_bytes(self) -> int:
        return self._log.unread * self._record_bytes + self._memory.unread_bytes

    @property
    def memory_bytes(self) -> int:
        return self._memory.memory_bytes

    @property
    def left(self) -> int:
        dead = self._dead
        return self._log.waiting + self._memory.left + (dead.waiting if dead is not None else 0)

    @property
    def is_settled(self) -> bool:
        return self.left == 0 and self._dead is None and not self._must_scan

    @property
    def has_losses(self) -> bool:
        return bool(self._losses) or self._log.given_up > 0 or self._memory.has_losses

    @property
    def is_behind(self) -> bool:
        return self._dead is not None or self._log.is_behind

    @property
    def pause(self) -> float:
        return RECOVERY_SECONDS if self._is_degraded else SCAN_SECONDS

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
        self._was_own_turn = not self._was_own_turn  # by turns, so that neither waits for all of the other
        if self._was_own_turn:
            return self._take_own(most_bytes) or self._take_dead(most_bytes)
        return self._take_dead(most_bytes) or self._take_own(most_bytes)

    def _take_own(self, most_bytes: int) -> Chunk | None:
        taken = self._log.take(most_bytes)
        return self._memory.take(most_bytes) if taken is None else self._chunk(self._log, taken)

    def _take_dead(self, most_bytes: int) -> Chunk | None:
        dead = self._dead
        if dead is None:
            return None
        taken = None
        with contextlib.suppress(OSError):  # another process may have more luck, or this one later
            taken = dead.take(most_bytes)
        if taken is not None:
            return self._chunk(dead, taken)
        if lost := dead.collect_lost():  # counted before the directory is removed
            self._lose("damaged", lost, origin_of(dead))
        elif dead.in_hand == 0:
            if dead.waiting <= 0:
                self._must_scan = True  # where one has died, others may have
            self._dead = None
            dead.close()
        return None

    @staticmethod
    def _chunk(log: Log | DeadLog, taken: Taken) -> Chunk:
        return Chunk(taken.records, log.owner.tag, (log, taken._replace(records=[])))  # to keep them only once

    def settle(self, chunk: Chunk) -> None:
        if chunk.taken is None:
            self._memory.settle(chunk)
        else:
            log, taken = chunk.taken
            log.settle(taken)

    def hurry(self) -> None:
        self._must_scan = True

    def tend(self) -> None:
        """Look after the log and the disk, and for dead processes; never raises OSError."""
        self._log.describe()
        if self._log.is_lost():
            self._save_what_is_left()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            if self._throttle.allows():
                text = "Records cannot be written to the spool; they wait in memory until they can."
                logger.warning(text, exc_info=failure)
        if self._is_degraded and time.monotonic() >= self._next_recovery:
            self._next_recovery = time.monotonic() + RECOVERY_SECONDS
            self._recover()
        with contextlib.suppress(OSError, SpoolFullError):
            self._prepare()
        self._look_for_dead()

    def _prepare(self) -> None:
        """Have room for records that come, at the expense of the oldest, which are those of a dead process."""
        dead = self._dead
        while dead is not None and self._log.lacks_room() and (given_up := dead.give_up_oldest()):
            self._lose("spool_full", given_up, origin_of(dead))
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
        """Move what is in memory to disk, if that takes it; some at a time, since requests wait meanwhile."""
        with contextlib.suppress(OSError, SpoolFullError):
            while self._is_degraded:
                with self._lock:
                    self._is_degraded = not self._memory.move(self._append, _MOVED_AT_ONCE)

    def _look_for_dead(self) -> None:
        if self._dead is None and (self._must_scan or time.monotonic() >= self._next_scan):
            self._next_scan = time.monotonic() + SCAN_SECONDS
            self._dead = self._find_dead()
            self._must_scan = False

    def close(self) -> int:
        # What is in hand may just be delivered: its lock is kept until the process ends.
        if self._dead is not None and self._dead.in_hand == 0:
            self._dead.close()
            self._dead = None
        self._memory.close()
        return self._log.close()

    def forget(self) -> None:
        self._log.forget()
        if self._dead is not None:
            self._dead.forget()
        self._dead = None

    def collect_losses(self) -> list[Loss]:
        with self._lock:
            losses, self._losses = self._losses, []
        if given_up := self._log.collect_given_up():
            losses.append(Loss("spool_full", given_up))
        return losses + self._memory.collect_losses()
