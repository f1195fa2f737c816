"""Packed records that wait, and the one thread per process that ships them.

A request only appends bytes to a bounded queue, which takes about a microsecond; the thread ships them seldom and in
large batches, so that it hardly ever contends with requests for the interpreter. At all times

    accepted = delivered + waiting + dropped

and every drop is counted by reason, in a block of the counts that all processes of the server share. Nothing starts
before the first record, so a server may fork as it likes; a forked child begins with an empty queue, a lock and a sink
of its own, and leaves alone what its parent has in hand. An idle process sleeps: nothing is polled.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from flask_boxkite.live.layout import ACCEPTED, DELIVERED, DROPPED, SINK_CELLS, WAITING_BYTES
from flask_boxkite.live.shared import Store
from flask_boxkite.live.store import Block, Section, section_key
from flask_boxkite.sinks.base import Batch, Sink
from flask_boxkite.throttle import Throttle

__all__ = ["Recorder", "RecorderCounts", "records_section"]

logger = logging.getLogger("flask_boxkite")

LINGER_SECONDS = 0.2
"""How long the thread lets records gather before it ships them."""

HURRY_BYTES = 512 * 1024
"""With this much waiting, it does not."""

BATCH_BYTES = 1024 * 1024
"""What a batch holds at most, unless a single record is larger."""

SMALL_QUEUE_PARTS = 4
"""Both are at most this part of the queue: a batch in hand is not dropped to make room for newer records."""

SHIP_TIMEOUT_SECONDS = 10.0
"""How long the sink may take for one batch."""

FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 10.0
"""The pause after a failure doubles from the first to the last; each is shortened at random by up to a half."""


class RecorderCounts(NamedTuple):
    """What became of records."""

    accepted: int
    delivered: int
    dropped: dict[str, int]
    waiting: int
    waiting_bytes: int

    @classmethod
    def of(cls, cells: Sequence[int]) -> RecorderCounts:
        """Read the cells of a sink."""
        dropped = {reason: cells[cell] for reason, cell in DROPPED.items()}
        # Of other processes, the cells may have changed while they were read.
        waiting = max(cells[ACCEPTED] - cells[DELIVERED] - sum(dropped.values()), 0)
        return cls(cells[ACCEPTED], cells[DELIVERED], dropped, waiting, cells[WAITING_BYTES])


def records_section(sink_name: str) -> Section:
    """Return the section of the counts in which the records of a sink are counted."""
    return Section(section_key("sink", sink_name), SINK_CELLS, 0)


class Recorder:
    """Takes packed records from any thread and has them shipped; safe to use after a fork.

    Args:
        sink: Where they go. Owned by the recorder from here on.
        store: Where they are counted.
        max_bytes: Bound of what waits. Beyond it, the oldest records are dropped first.
        shutdown_timeout: Seconds that `close` and the end of the process may take to deliver what waits.
    """

    def __init__(self, sink: Sink, store: Store, *, max_bytes: int, shutdown_timeout: float) -> None:
        self.section = records_section(sink.name)
        self._store = store
        self._max_bytes = max_bytes
        self._shutdown_timeout = shutdown_timeout
        self._shippers: dict[int, _Shipper] = {}
        self._shipper = self._begin(sink)

    def _own(self) -> _Shipper:
        """Return the shipper of this process; a new one where the process was forked."""
        shipper = self._shipper
        return shipper if shipper.mark[0] else self._begin(shipper.sink.forked(), parent=shipper.pid)

    def _begin(self, sink: Sink, parent: int | None = None) -> _Shipper:
        # setdefault is atomic: threads that meet in a new process agree on one shipper without a lock, which a fork
        # may have left held by a thread that does not exist any more.
        pid = os.getpid()
        shipper = self._shippers.setdefault(pid, _Shipper(pid, sink, self._store.block(self.section), self._max_bytes))
        self._shipper = shipper
        if parent is not None:
            self._shippers.pop(parent, None)  # its queue is a copy of records that are the parent's to send
        # Here, not with the first record: that may come in an exit hook, when it is too late for new ones.
        hook = (weakref.ref(shipper), self._shutdown_timeout)
        atexit.register(_close_at_exit, *hook)
        if (multiprocessing := sys.modules.get("multiprocessing.util")) is not None:  # its children skip `atexit`
            multiprocessing.Finalize(None, _close_at_exit, hook, exitpriority=0)
        return shipper

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

    def flush(self, timeout: float) -> int:
        """Wait until everything queued is delivered; return how many records are left after *timeout* seconds."""
        return self._own().flush(timeout)

    def close(self, timeout: float | None = None) -> int:
        """Deliver what can be delivered in time, count the rest as dropped, and stop.

        Args:
            timeout: In seconds; None for the shutdown timeout.

        Returns:
            How many records were dropped.
        """
        return self._own().close(self._shutdown_timeout if timeout is None else timeout)


def _close_at_exit(shipper: weakref.ref[_Shipper], timeout: float) -> None:
    # One that is gone had nothing waiting: its thread would hold it. Forked children inherit the hook.
    if (alive := shipper()) is not None and alive.pid == os.getpid():
        alive.close(timeout)


class _Shipper:
    """The queue, the sink and the thread of one process; knows nothing of forks.

    All numbers are guarded by the lock of the block of counts, under which nothing slow happens. Whoever uses the sink,
    the thread or a `flush` where there is none, holds the second lock.
    """

    def __init__(self, pid: int, sink: Sink, block: Block, max_bytes: int) -> None:
        self.pid = pid
        self.mark = block.mark
        self.sink = sink
        self._block = block
        self._max_bytes = max_bytes
        self._batch_bytes = min(BATCH_BYTES, max_bytes // SMALL_QUEUE_PARTS)
        self._hurry_bytes = min(HURRY_BYTES, max_bytes // SMALL_QUEUE_PARTS)
        self._lock = block.lock
        self._thread_wakes = threading.Condition(self._lock)
        self._all_settled = threading.Condition(self._lock)
        self._shipping = threading.Lock()
        self._thread: threading.Thread | None = None
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._in_hand: Batch | None = None
        self._in_hand_bytes = 0
        self._flushes = 0
        self._is_closed = False
        self._throttle = Throttle()

    # --- in the request ----------------------------------------------------------------------------------------------

    def submit(self, packed: bytes) -> None:
        size = len(packed)
        with self._lock:
            cells = self._block.cells
            cells[ACCEPTED] += 1
            if self._is_closed or size > self._max_bytes:
                cells[DROPPED["shutdown" if self._is_closed else "too_large"]] += 1
                return
            before = self._queued_bytes
            after = before + size
            self._queue.append(packed)
            self._queued_bytes = after
            cells[WAITING_BYTES] = after + self._in_hand_bytes
            if after + self._in_hand_bytes > self._max_bytes:
                self._drop_oldest()
            # Only where the thread may sleep for want of this record: a notification costs it a switch of threads.
            if before == 0 or before < self._hurry_bytes <= after:
                self._thread_wakes.notify()
            if self._thread is None:
                self._start_thread()

    def _drop_oldest(self) -> None:
        while self._queued_bytes + self._in_hand_bytes > self._max_bytes:
            self._queued_bytes -= len(self._queue.popleft())
            self._block.cells[DROPPED["queue_full"]] += 1
        self._tell_bytes()

    def _tell_bytes(self) -> None:
        self._block.cells[WAITING_BYTES] = self._queued_bytes + self._in_hand_bytes

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="boxkite-recorder", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # Python is shutting down and starts none any more, so `close` ships by itself; or the system has too many
            # threads, and the next record tries again.
            return
        self._thread = thread

    def drop(self, reason: str) -> None:
        with self._lock:
            self._block.cells[ACCEPTED] += 1
            self._block.cells[DROPPED[reason]] += 1

    # --- from outside ------------------------------------------------------------------------------------------------

    def counts(self) -> RecorderCounts:
        with self._lock:
            return RecorderCounts.of(list(self._block.cells))

    def _waiting(self) -> int:
        return len(self._queue) + (len(self._in_hand.records) if self._in_hand else 0)

    def flush(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        with self._lock:
            self._flushes += 1
            self._thread_wakes.notify_all()
            is_alone = self._thread is None
        try:
            if is_alone:
                self._ship_waiting(deadline)
            with self._lock:
                self._all_settled.wait_for(lambda: self._waiting() == 0, max(deadline - time.monotonic(), 0))
                return self._waiting()
        finally:
            with self._lock:
                self._flushes -= 1

    def close(self, timeout: float) -> int:
        self.flush(timeout)
        with self._lock:
            if self._is_closed:
                return 0
            self._is_closed = True
            dropped = self._waiting()
            self._block.cells[DROPPED["shutdown"]] += dropped
            self._queue.clear()
            self._in_hand = None
            self._queued_bytes = self._in_hand_bytes = 0
            self._tell_bytes()
            self._all_settled.notify_all()
            self._thread_wakes.notify_all()
            thread = self._thread
        if dropped:
            logger.warning("Dropped %d records that the sink %r did not take in time.", dropped, self.sink.name)
        if thread is None:
            self._close_sink()
        else:  # it closes the sink, at once or, while it hangs in a server that does not answer, some time later
            thread.join(0.0 if dropped else 1.0)
        return dropped

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._sleep_until_needed():
                self._ship_waiting(None)
            self._close_sink()
        finally:
            with self._lock:
                self._thread = None  # if something ended it that is no Exception, the next record starts another

    def _sleep_until_needed(self) -> bool:
        """Sleep while nothing waits, then while records gather; return False once closed."""
        with self._lock:
            self._thread_wakes.wait_for(lambda: self._is_closed or self._waiting() > 0)
            self._thread_wakes.wait_for(
                lambda: self._is_closed or self._flushes > 0 or self._queued_bytes >= self._hurry_bytes, LINGER_SECONDS
            )
            return not self._is_closed

    def _ship_waiting(self, deadline: float | None) -> None:
        """Ship what waits: with a deadline, all of it, at most until then; without, a batch.

        What came during a batch gathers first: shipped at once, it would be a few records at a time, without a pause,
        and every acknowledgement a moment in which a request waits for the interpreter.
        """
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            left = SHIP_TIMEOUT_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0 or not self._shipping.acquire(timeout=left):
                return
            try:
                batch = self._take_batch()
                if batch is None:
                    return
                is_delivered = self._ship(batch, left)
            finally:
                self._shipping.release()
            if is_delivered:
                if deadline is None:
                    return
                backoff = FIRST_BACKOFF_SECONDS
            else:
                self._pause(backoff * random.uniform(0.5, 1.0), deadline)
                backoff = min(backoff * 2, LAST_BACKOFF_SECONDS)

    def _take_batch(self) -> Batch | None:
        """Return what to ship next: again what is in hand, else the oldest records."""
        with self._lock:
            if self._in_hand is None and self._queue:
                if self._queued_bytes <= self._batch_bytes:  # as a rule; and requests wait for this lock
                    records, size = list(self._queue), self._queued_bytes
                    self._queue.clear()
                else:
                    records, size = self._take_oldest()
                self._in_hand, self._in_hand_bytes = Batch(records, self.sink.tag), size
                self._queued_bytes -= size
            return self._in_hand

    def _take_oldest(self) -> tuple[list[bytes], int]:
        records = [self._queue.popleft()]
        size = len(records[0])
        while self._queue and size + len(self._queue[0]) <= self._batch_bytes:
            size += len(self._queue[0])
            records.append(self._queue.popleft())
        return records, size

    def _ship(self, batch: Batch, timeout: float) -> bool:
        try:
            self.sink.ship(batch, timeout)
        except Exception:  # whatever goes wrong in a sink must not end the thread
            self._complain(len(batch.records))
            return False
        with self._lock:
            if self._in_hand is batch:  # else `close` did not wait for it any longer, and has counted it as dropped
                self._block.cells[DELIVERED] += len(batch.records)
                self._in_hand, self._in_hand_bytes = None, 0
                self._tell_bytes()
                if not self._queue:
                    self._all_settled.notify_all()
        return True

    def _pause(self, seconds: float, deadline: float | None) -> None:
        """Wait before the next attempt. Only a flush or the end cuts that short; new records do not."""
        if deadline is not None:
            seconds = min(seconds, max(deadline - time.monotonic(), 0))
        with self._lock:
            if self._flushes:  # someone waits, and not for long: try more often
                seconds = min(seconds, FIRST_BACKOFF_SECONDS)
                self._thread_wakes.wait_for(lambda: self._is_closed, seconds)
            else:
                self._thread_wakes.wait_for(lambda: self._is_closed or self._flushes > 0, seconds)

    def _complain(self, records: int) -> None:
        if self._throttle.allows():
            text = "Sink %r did not take %d records; they are kept and tried again while the queue has room."
            logger.warning(text, self.sink.name, records, exc_info=True)

    def _close_sink(self) -> None:
        with self._shipping:
            try:
                self.sink.close()
            except Exception:
                logger.warning("Sink %r could not be closed.", self.sink.name, exc_info=True)
