"""The queue in memory, bounded by bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from flask_boxkite.delivery.queue import SMALL_QUEUE_PARTS, Chunk, Loss

__all__ = ["MemoryQueue"]


class MemoryQueue:
    """A bounded queue in memory.

    Args:
        max_bytes: Bound of the bytes that wait. Taken records count too, but are not given up.
    """

    pause: float | None = None
    is_behind = False
    outlives_process = False

    def __init__(self, max_bytes: int) -> None:
        # Attributes, because requests read them.
        self.unread_bytes = self.memory_bytes = 0
        self.has_losses = False
        self.urgent_bytes = max_bytes // SMALL_QUEUE_PARTS
        self._max_bytes = max_bytes
        self._taken = 0
        self._records: deque[bytes] = deque()
        self._given_up = 0
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        return len(self._records) + self._taken

    @property
    def is_settled(self) -> bool:
        return self.left == 0

    def put(self, record: bytes) -> bool:
        size = len(record)
        with self._lock:
            self._records.append(record)
            self.unread_bytes += size
            self.memory_bytes += size
            if self.memory_bytes > self._max_bytes:
                self._give_up_oldest()
        return True

    def _give_up_oldest(self) -> None:
        while self._records and self.memory_bytes > self._max_bytes:
            self._forget(len(self._records.popleft()))
            self._given_up += 1
            self.has_losses = True

    def _forget(self, size: int) -> None:
        self.unread_bytes -= size
        self.memory_bytes -= size

    def put_first(self, records: Sequence[bytes]) -> None:
        """Put records before all others; they may exceed the bound."""
        with self._lock:
            self._records.extendleft(reversed(records))
            size = sum(map(len, records))
            self.unread_bytes += size
            self.memory_bytes += size

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
                self.memory_bytes -= sum(map(len, chunk.records))

    def move(self, append: Callable[[bytes], None], most: int) -> bool:
        """Move records that are not taken to *append*, the oldest first; return whether none is left.

        A record stays if *append* raises.
        """
        with self._lock:
            for _ in range(min(most, len(self._records))):
                append(self._records[0])
                self._forget(len(self._records.popleft()))
            return not self._records

    def wake(self) -> None:
        pass

    def maintain(self) -> None:
        pass

    def close(self) -> int:
        with self._lock:
            self._records.clear()
            self.unread_bytes = self.memory_bytes = self._taken = 0
        return 0

    def forget(self) -> None:
        pass

    def collect_losses(self) -> list[Loss]:
        with self._lock:
            given_up, self._given_up = self._given_up, 0
            self.has_losses = False
        return [Loss("queue_full", given_up)] if given_up else []
