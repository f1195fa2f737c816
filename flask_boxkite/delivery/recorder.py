"""The recorder, to which requests give packed records: it finds the shipper of this process, a new one after a fork.

No thread starts before the first record, so a server may fork at any time. A forked child begins with an empty queue,
a lock and a sink of its own, and leaves its parent's records alone. When its app is gone, the shipper delivers the
waiting records and ends.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any, NamedTuple

from flask_boxkite.delivery.counts import RecorderCounts, records_section
from flask_boxkite.delivery.memory_queue import MemoryQueue
from flask_boxkite.delivery.queue import Queue
from flask_boxkite.delivery.shipper import Shipper
from flask_boxkite.delivery.shutdown import close_at_exit
from flask_boxkite.delivery.spool_queue import SpoolQueue
from flask_boxkite.delivery.timings import TIMINGS, Timings
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.live.section import Section
from flask_boxkite.live.store import Store
from flask_boxkite.sinks.base import Sink
from flask_boxkite.spool import Log, OrphanLog, Owner, ServerCounts, find_orphan, new_directory, spool_bytes

__all__ = ["Recorder", "Spooling"]

SPOOL_PARTS = 4
"""The largest record is this part of the spool."""


class Spooling(NamedTuple):
    """The spool, in which records stay on disk until they are delivered.

    Attributes:
        root: Directory of the spool, which processes, servers and restarts share.
        max_bytes: Bound of all files in it.
    """

    root: Path
    max_bytes: int


class Recorder:
    """Takes packed records from any thread and has them shipped; safe to use after a fork.

    Args:
        sink: Destination of the records. The recorder owns it from here on.
        store: Store of the counts.
        max_bytes: Bound of the bytes that wait in memory. Beyond it, the oldest records are dropped first.
        shutdown_timeout: Seconds that `close` and the end of the process may take to deliver waiting records.
        spooling: Spool in which records wait on disk; None to let them wait in memory.
        timings: Pace of the delivery.
    """

    def __init__(
        self,
        sink: Sink,
        store: Store,
        *,
        max_bytes: int,
        shutdown_timeout: float,
        spooling: Spooling | None = None,
        timings: Timings = TIMINGS,
    ) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._shutdown_timeout = shutdown_timeout
        self._spooling = spooling
        self._timings = timings
        self._shippers: dict[int, Shipper] = {}
        weakref.finalize(self, _leave, self._shippers, shutdown_timeout).atexit = False
        self._shipper = self._begin(sink)

    def own(self) -> Shipper:
        """Return the shipper of this process; a new one after a fork."""
        shipper = self._shipper
        return shipper if shipper.mark[0] else self._begin(shipper.sink.forked(), parent=shipper)

    def _begin(self, sink: Sink, parent: Shipper | None = None) -> Shipper:
        # setdefault is atomic, so threads of a new process agree on one shipper without a lock. A thread that does
        # not exist in the child might hold a lock for ever.
        pid = os.getpid()
        shipper = self._shipper = self._shippers.setdefault(pid, self._make_shipper(pid, sink))
        if parent is not None and self._shippers.pop(parent.pid, None) is parent:
            parent.forget()  # its queue is a copy; the parent sends the records
        close_at_exit(shipper, self._shutdown_timeout, is_spooling=self._spooling is not None)
        return shipper

    def _make_shipper(self, pid: int, sink: Sink) -> Shipper:
        memory = MemoryQueue(self._max_bytes)
        if self._spooling is None:
            block = self._store.block(self._section(sink.name))
            return Shipper(pid, sink, memory, block, self._max_bytes, self._max_bytes, self._timings)

        directory = new_directory(self._spooling.root, sink.name)
        block = self._store.block(self._section(sink.name, os.fsencode(directory)))
        queue = self._spool_queue(sink, block, memory, self._spooling)
        # A record needs room beside the segments that are being written and read, or it would never get to disk.
        largest = min(self._max_bytes, self._spooling.max_bytes // SPOOL_PARTS)
        return Shipper(pid, sink, queue, block, self._max_bytes, largest, self._timings)

    def _section(self, sink_name: str, spool: bytes = b"") -> Section:
        return records_section(sink_name, spool, owner=self._store.owner)

    def _spool_queue(self, sink: Sink, block: ProcessCounts, memory: MemoryQueue, spooling: Spooling) -> Queue:
        store, server, timings = self._store, self._store.server, self._timings

        def describe() -> Owner:
            return Owner(sink.name, sink.tag, server, store.file(), str(block.section.key))

        def find() -> OrphanLog | None:
            counts = ServerCounts(
                store.directory(), store.tidy, store.is_apart, store.has_counted, timings.fold_patience_seconds
            )
            return find_orphan(spooling.root, describe(), counts)

        # The first thread of a forked process names the directory, and the block holds its choice.
        directory = Path(os.fsdecode(block.section.description))
        return SpoolQueue(Log(directory, describe, spooling.max_bytes), memory, find, timings)

    @property
    def sink(self) -> Sink:
        """The sink of this process."""
        return self.own().sink

    def record(self, time_ns: int, record: dict[str, Any]) -> None:
        """Pack a record of plain JSON values and queue it; raises the errors of the sink's `pack`."""
        shipper = self.own()
        shipper.submit(shipper.sink.pack(time_ns, record))

    def submit(self, packed: bytes) -> None:
        """Queue a packed record; this waits for nothing but other requests that do the same."""
        self.own().submit(packed)

    def drop(self, reason: str) -> None:
        """Count a record that could not be packed."""
        self.own().drop(reason)

    def counts(self) -> RecorderCounts:
        """Return the counts of this process's records."""
        return self.own().counts()

    @property
    def section(self) -> Section:
        """The section in which all processes count the records of this sink."""
        return self._section(self._shipper.sink.name)

    def spool_bytes(self) -> int:
        """Return the bytes on disk of this sink's records, of all processes; 0 without a spool."""
        return spool_bytes(self._spooling.root, self._shipper.sink.name) if self._spooling else 0

    @property
    def is_spooling(self) -> bool:
        """Whether records wait on disk, where they outlive their process."""
        return self._spooling is not None

    def adopt_orphans(self) -> None:
        """See that all records are delivered, including records that dead processes left on disk."""
        if self._spooling is not None or self._shipper.mark[0]:
            self.own().adopt_orphans()

    def flush(self, timeout: float) -> int:
        """Wait until all queued records are delivered; return the number left after *timeout* seconds."""
        return self.own().flush(timeout)

    def at_shutdown(self) -> tuple[Shipper, float]:
        """Return the shipper of this process, and the seconds that it may take at the end to deliver records."""
        return self.own(), self._shutdown_timeout

    def close(self, timeout: float | None = None) -> int:
        """Deliver the records that can be delivered in time, and stop; the rest stays on disk or is counted as dropped.

        Args:
            timeout: Longest time to wait, in seconds; None for the shutdown timeout.

        Returns:
            Number of records that were dropped.
        """
        return self.own().close(self._shutdown_timeout if timeout is None else timeout)


def _leave(shippers: dict[int, Shipper], timeout: float) -> None:
    """End the shipper of this process, because its app is gone."""
    if (shipper := shippers.get(os.getpid())) is not None:
        shipper.leave(timeout)
