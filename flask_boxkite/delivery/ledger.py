"""The books of one process for one sink: the records that it accepted, delivered and dropped, and those that wait.

A queue and the counts of its records change together, under one lock. So accepted = delivered + waiting + dropped at
any moment, for readers in this process and, since counts lie in a block of the store, for readers in all others.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flask_boxkite.delivery.counts import RecorderCounts
from flask_boxkite.delivery.queue import Chunk, Origin, Queue
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.live.sink_cells import (
    ACCEPTED,
    BACKOFF_MS,
    DELIVERED,
    DROPPED,
    LAST_DELIVERY_MS,
    RETRIES,
    TAKEN_OVER,
    UNSPOOLED,
    WAITING_BYTES,
    waiting_of_process,
)
from flask_boxkite.sinks.base import Batch

__all__ = ["Ledger"]


class Ledger:
    """Counts the records of one queue, of one process.

    A shipper owns it. The lock is the block's; it is not reentrant, and no slow work happens under it. Of the methods,
    `put`, `refuse`, `note_pause` and `close` are for callers that hold the lock, because they notify threads under it
    too; all others take it themselves.

    Args:
        queue: Queue of the records that wait.
        block: Counts of this process.
        wall_clock: Returns the Unix time of a delivery.

    Attributes:
        lock: Lock that guards all counts.
        is_closed: Whether `close` was called; records in flight were counted then.
    """

    def __init__(self, queue: Queue, block: ProcessCounts, wall_clock: Callable[[], float] = time.time) -> None:
        self.lock = block.lock
        self.is_closed = False
        self._queue = queue
        self._block = block
        self._wall_clock = wall_clock

    # --- with the lock held ------------------------------------------------------------------------------------------

    def put(self, record: bytes) -> None:
        """Accept a record and let it wait."""
        cells = self._block.cells
        queue = self._queue
        cells[ACCEPTED] += 1
        if not queue.put(record):
            cells[UNSPOOLED] += 1
        cells[WAITING_BYTES] = queue.memory_bytes
        if queue.has_losses:
            self._count_losses()

    def refuse(self, reason: str) -> None:
        """Count a record that does not get into the queue.

        Args:
            reason: One of `naming.DROP_REASONS`.
        """
        cells = self._block.cells
        cells[ACCEPTED] += 1
        cells[DROPPED[reason]] += 1

    def note_pause(self, seconds: float) -> None:
        """Note the pause before the next attempt; 0 for none."""
        self._block.cells[BACKOFF_MS] = int(seconds * 1000)

    def close(self) -> int:
        """Close the queue, and count records as dropped that no other process will deliver; return their number."""
        self.is_closed = True
        on_disk = self._queue.close()
        self._count_losses()
        cells = self._block.cells
        dropped = max(waiting_of_process(cells) - on_disk, 0)
        cells[DROPPED["shutdown"]] += dropped
        cells[WAITING_BYTES] = cells[BACKOFF_MS] = 0
        return dropped

    def _count_losses(self) -> None:
        for reason, records, origin in self._queue.collect_losses():
            self._add(DROPPED[reason], records, origin)

    def _add(self, cell: int, records: int, origin: Origin) -> None:
        """Count records as delivered or dropped; records from another process's requests, as accepted too."""
        cells = self._block.cells
        if origin is not Origin.OWN:  # first, so that no reader sees more records delivered than accepted
            cells[TAKEN_OVER if origin is Origin.SERVER else ACCEPTED] += records
        cells[cell] += records

    # --- without it --------------------------------------------------------------------------------------------------

    def counts(self) -> RecorderCounts:
        """Return the counts of this process's records, and of the records that it took over."""
        with self.lock:
            cells = list(self._block.cells)
        cells[ACCEPTED] += cells[TAKEN_OVER]
        return RecorderCounts.of(cells)

    def drop(self, reason: str) -> None:
        """Count a record that could not be packed."""
        with self.lock:
            self.refuse(reason)

    def follow_queue(self) -> None:
        """Count records that the queue gave up, and the bytes in memory: records may have moved to the disk or back."""
        with self.lock:
            self._count_losses()
            self._block.cells[WAITING_BYTES] = self._queue.memory_bytes

    def note_retry(self) -> None:
        """Count a batch that is shipped again."""
        with self.lock:
            self._block.cells[RETRIES] += 1

    def deliver(self, batch: Batch, chunk: Chunk) -> None:
        """Note that the sink has a batch of a chunk."""
        with self.lock:
            self._block.cells[LAST_DELIVERY_MS] = int(self._wall_clock() * 1000)
            self._settle_in_memory(DELIVERED, batch, chunk)

    def give_up(self, batch: Batch, chunk: Chunk) -> None:
        """Note that the sink refuses a batch of a chunk."""
        with self.lock:
            self._settle_in_memory(DROPPED["refused"], batch, chunk)

    def _settle_in_memory(self, cell: int, batch: Batch, chunk: Chunk) -> None:
        """Count a batch from memory, and forget it at the same moment; `settle` does so for records on disk."""
        # `close` does not wait for a batch in flight, and has counted it.
        if chunk.taken is None and not self.is_closed:
            self._queue.settle(Chunk(batch.records))
            self._block.cells[WAITING_BYTES] = self._queue.memory_bytes
            self._add(cell, len(batch.records), Origin.OWN)

    def settle(self, chunk: Chunk, delivered: int, given_up: int) -> None:
        """Count records on disk as delivered or dropped, and settle them there.

        Both wait for the whole chunk: records that a killed process has not settled are delivered again, and counted
        then. The count comes first; if the process dies in between, the fold of its counts corrects it.
        """
        assert chunk.taken is not None
        damaged = chunk.taken[1].entries - delivered - given_up
        origin = chunk.origin  # outside the lock, because this may read from the disk
        with self.lock:
            self._add(DELIVERED, delivered, origin)
            self._add(DROPPED["refused"], given_up, origin)
            self._add(DROPPED["damaged"], damaged, origin)

        self._queue.settle(chunk)
