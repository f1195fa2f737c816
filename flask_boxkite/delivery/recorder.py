"""Where requests hand over packed records: finds the shipper of this process, after a fork a new one.

Nothing starts before the first record, so a server may fork as it likes; a forked child begins with an empty queue, a
lock and a sink of its own, and leaves alone what its parent has in hand. When its app is gone, the shipper delivers
what waits, and ends.
"""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask_boxkite.delivery.counts import RecorderCounts, records_section
from flask_boxkite.delivery.queue import MemoryQueue, Queue
from flask_boxkite.delivery.shipper import Shipper
from flask_boxkite.delivery.shutdown import close_at_exit
from flask_boxkite.delivery.spool_queue import SpoolQueue
from flask_boxkite.live.shared import Store
from flask_boxkite.live.store import Block, Section
from flask_boxkite.sinks.base import Sink
from flask_boxkite.spool import DeadLog, Log, Owner, find_dead, new_directory, spool_bytes

__all__ = ["Recorder", "Spooling"]

SPOOL_PARTS = 4
"""So many times the largest record fits into the spool."""


@dataclass(frozen=True)
class Spooling:
    """Where records are kept on disk until they are delivered.

    Attributes:
        root: Directory of the spool, which processes, servers and restarts share.
        max_bytes: Bound of all files in it.
    """

    root: Path
    max_bytes: int


class Recorder:
    """Takes packed records from any thread and has them shipped; safe to use after a fork.

    Args:
        sink: Where they go. Owned by the recorder from here on.
        store: Where they are counted.
        max_bytes: Bound of what waits in memory. Beyond it, the oldest records are dropped first.
        shutdown_timeout: Seconds that `close` and the end of the process may take to deliver what waits.
        spooling: Where records wait on disk; None for memory.
    """

    def __init__(
        self, sink: Sink, store: Store, *, max_bytes: int, shutdown_timeout: float, spooling: Spooling | None = None
    ) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._shutdown_timeout = shutdown_timeout
        self._spooling = spooling
        self._shippers: dict[int, Shipper] = {}
        weakref.finalize(self, _leave, self._shippers, shutdown_timeout).atexit = False
        self._shipper = self._begin(sink)

    def _own(self) -> Shipper:
        """Return the shipper of this process; a new one where the process was forked."""
        shipper = self._shipper
        return shipper if shipper.mark[0] else self._begin(shipper.sink.forked(), parent=shipper)

    def _begin(self, sink: Sink, parent: Shipper | None = None) -> Shipper:
        # setdefault is atomic: threads that meet in a new process agree on one shipper without a lock, which a fork
        # may have left held by a thread that does not exist any more.
        pid = os.getpid()
        shipper = self._shipper = self._shippers.setdefault(pid, self._make_shipper(pid, sink))
        if parent is not None and self._shippers.pop(parent.pid, None) is parent:
            parent.forget()  # its queue is a copy of records that are the parent's to send
        close_at_exit(shipper, self._shutdown_timeout, is_spooling=self._spooling is not None)
        return shipper

    def _make_shipper(self, pid: int, sink: Sink) -> Shipper:
        memory = MemoryQueue(self._max_bytes)
        if self._spooling is None:
            block = self._store.block(self._section(sink.name))
            return Shipper(pid, sink, memory, block, self._max_bytes, self._max_bytes)
        directory = new_directory(self._spooling.root, sink.name)
        block = self._store.block(self._section(sink.name, os.fsencode(directory)))
        queue = self._spool_queue(sink, block, memory, self._spooling)
        # Beside a record there must be room for what is just being written, or it would never get to disk.
        largest = min(self._max_bytes, self._spooling.max_bytes // SPOOL_PARTS)
        return Shipper(pid, sink, queue, block, self._max_bytes, largest)

    def _section(self, sink_name: str, spool: bytes = b"") -> Section:
        return records_section(sink_name, spool, owner=self._store.owner)

    def _spool_queue(self, sink: Sink, block: Block, memory: MemoryQueue, spooling: Spooling) -> Queue:
        store, server = self._store, self._store.server

        def describe() -> Owner:
            return Owner(sink.name, sink.tag, server, store.file(), block.section.key)

        def find() -> DeadLog | None:
            return find_dead(
                spooling.root, describe(), store.directory(), store.tidy, store.is_apart, store.has_counted
            )

        # The block knows the directory: of threads that meet in a forked process, the first one's.
        directory = Path(os.fsdecode(block.section.description))
        return SpoolQueue(Log(directory, describe, spooling.max_bytes), memory, find)

    @property
    def sink(self) -> Sink:
        """The sink of this process."""
        return self._own().sink

    def record(self, time_ns: int, record: dict[str, Any]) -> None:
        """Pack a record of plain JSON values and queue it; raises what the sink's `pack` does."""
        shipper = self._shipper
        if not shipper.mark[0]:
            shipper = self._own()
        shipper.submit(shipper.sink.pack(time_ns, record))

    def submit(self, packed: bytes) -> None:
        """Queue a packed record. Never waits for anything but other requests doing the same."""
        self._own().submit(packed)

    def drop(self, reason: str) -> None:
        """Count a record that could not even be packed."""
        self._own().drop(reason)

    def counts(self) -> RecorderCounts:
        """Return what became of this process's records."""
        return self._own().counts()

    @property
    def section(self) -> Section:
        """Where all processes count the records of this sink."""
        return self._section(self._shipper.sink.name)

    def spool_bytes(self) -> int:
        """Return how many bytes of the disk the records of this sink take, of all processes; 0 without a spool."""
        return spool_bytes(self._spooling.root, self._shipper.sink.name) if self._spooling else 0

    @property
    def is_spooling(self) -> bool:
        """Whether records wait on disk, where they outlive their process."""
        return self._spooling is not None

    def attend(self) -> None:
        """See that all records are delivered, those too which dead processes left on disk."""
        if self._spooling is not None or self._shipper.mark[0]:
            self._own().attend()

    def flush(self, timeout: float) -> int:
        """Wait until everything queued is delivered; return how many records are left after *timeout* seconds."""
        return self._own().flush(timeout)

    def ending(self) -> tuple[Shipper, float]:
        """Return the shipper of this process, and the seconds that it may take to deliver what waits at the end."""
        return self._own(), self._shutdown_timeout

    def close(self, timeout: float | None = None) -> int:
        """Deliver what can be delivered in time and stop; the rest stays on disk, or is counted as dropped.

        Args:
            timeout: In seconds; None for the shutdown timeout.

        Returns:
            How many records were dropped.
        """
        return self._own().close(self._shutdown_timeout if timeout is None else timeout)


def _leave(shippers: dict[int, Shipper], timeout: float) -> None:
    """End the shipper of this process, since its app is gone."""
    if (shipper := shippers.get(os.getpid())) is not None:
        shipper.leave(timeout)
