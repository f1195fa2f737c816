"""What waits for a sink: in memory, or on disk with memory to fall back to.

A queue knows nothing of sinks and threads. `put` may come from any thread; `take`, `settle` and `tend` from one at a
time. Nothing is lost uncounted: what had to be given up is handed over by `collect_losses`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from flask_boxkite.spool import DeadLog, Log, SpoolFullError, Taken
from flask_boxkite.throttle import Throttle

__all__ = ["Chunk", "Loss", "MemoryQueue", "Origin", "Queue", "SpoolQueue"]

logger = logging.getLogger("flask_boxkite")

SCAN_SECONDS = 5.0
"""How often a process looks for the records of dead ones."""

RECOVERY_SECONDS = 1.0
"""How often it tries whether the disk has room again."""

_MOVED_AT_ONCE = 64


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
        return _origin(self.taken[0]) if self.taken else Origin.OWN


def _origin(log: Log | DeadLog) -> Origin:
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
    """

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


class SpoolQueue:
    """A queue on disk; while the disk takes nothing, in memory, from which records move to the disk once it does again.

    Args:
        log: Of this process, on disk.
        memory: What to fall back to.
        find_dead: Returns the records of a process that has died, if there are any to take over.
    """

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
        if dead.in_hand == 0:
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
            self._lose("spool_full", given_up, _origin(dead))
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
