"""The shipper, which moves records from the queue of one process to its sink by a thread; knows nothing of forks.

A request only puts bytes into a bounded queue. The thread ships them seldom and in large batches, so that it hardly
ever contends with requests for the interpreter. Batches that the sink did not take are tried again, after pauses that
grow. A timer ends each pause, so no new record is needed.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any

from flask_boxkite.delivery.counts import RecorderCounts
from flask_boxkite.delivery.in_flight import InFlight
from flask_boxkite.delivery.ledger import Ledger
from flask_boxkite.delivery.queue import SMALL_QUEUE_PARTS, Queue
from flask_boxkite.delivery.timings import TIMINGS, Timings
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.quoting import loggable
from flask_boxkite.sinks.base import Batch, RefusedError, Sink
from flask_boxkite.system.faults import warn_of
from flask_boxkite.system.throttle import Throttle

__all__ = ["Shipper"]

logger = logging.getLogger("flask_boxkite")


class Shipper:
    """Ships the records of one process, which a ledger counts.

    The ledger's lock guards all numbers and wakes the threads, and no slow work happens under it. A second lock guards
    the sink: the thread holds it to ship, or a `flush` does where there is no thread. It is always taken first.

    Args:
        pid: Id of the process.
        sink: Destination of the records.
        queue: Queue of the records that wait.
        block: This process's counts of the records.
        max_bytes: Bound of the bytes that wait in memory.
        max_record_bytes: Bound of the bytes of a record.
        timings: Pace of the delivery.
    """

    def __init__(
        self,
        pid: int,
        sink: Sink,
        queue: Queue,
        block: ProcessCounts,
        max_bytes: int,
        max_record_bytes: int,
        timings: Timings = TIMINGS,
    ) -> None:
        self.pid = pid
        self.mark = block.mark
        self.sink = sink
        self._queue = queue
        self._ledger = Ledger(queue, block, timings.wall_clock)
        self._in_flight = InFlight(self._ledger.settle, timings)

        self._max_record_bytes = max_record_bytes
        self._timings = timings
        self._batch_bytes = min(timings.batch_bytes, max_bytes // SMALL_QUEUE_PARTS)
        self._urgent_bytes = min(timings.urgent_bytes, queue.urgent_bytes)

        self._lock = self._ledger.lock
        self._thread_wakes = threading.Condition(self._lock)
        self._all_settled = threading.Condition(self._lock)
        self._shipping = threading.Lock()
        self._thread: threading.Thread | None = None
        self._flushes = 0
        self._backoff_seconds = 0.0
        self._leave_timeout: float | None = None
        self._throttle = Throttle()
        self._late = Throttle()

    # --- in the request ----------------------------------------------------------------------------------------------

    def submit(self, packed: bytes) -> None:
        """Queue a packed record."""
        size = len(packed)
        ledger = self._ledger
        with self._lock:
            if ledger.is_closed or size > self._max_record_bytes:
                reason = self._refusal(size)
                if reason is not None:
                    ledger.refuse(reason)
                    return

            ledger.put(packed)
            after = self._queue.unread_bytes
            before = after - size
            # Notify only a thread that may sleep until this record comes: a notification costs a switch of threads.
            if before <= 0 or before < self._urgent_bytes <= after:
                self._thread_wakes.notify()
            if self._thread is None and not ledger.is_closed:
                self._start_thread()

    def _refusal(self, size: int) -> str | None:
        """Return the reason to drop a record, or None: after `close`, another process may deliver records on disk."""
        if size > self._max_record_bytes:
            return "too_large"
        if not self._ledger.is_closed or self._queue.outlives_process:
            return None
        if self._late.allows():
            logger.warning("Dropped records for the sink %r that came after it was closed.", self.sink.name)
        return "shutdown"

    def drop(self, reason: str) -> None:
        """Count a record that could not be packed."""
        self._ledger.drop(reason)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="boxkite-recorder", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # Python is shutting down, and `close` ships without a thread; or the system has too many threads, and the
            # next record tries again.
            return
        self._thread = thread

    # --- from outside ------------------------------------------------------------------------------------------------

    def adopt_orphans(self) -> None:
        """Start the thread without a new record: for dead processes' records, or because it could not start earlier."""
        with self._lock:
            has_work = self._queue.pause is not None or self._queue.left > 0
            if self._thread is None and not self._ledger.is_closed and has_work:
                self._queue.wake()
                self._start_thread()

    def counts(self) -> RecorderCounts:
        """Return the counts of this process's records, and of the records that it took over."""
        return self._ledger.counts()

    def flush(self, timeout: float) -> int:
        """Wait until all records are delivered; return the number left after *timeout* seconds."""
        self.adopt_orphans()
        self._queue.wake()
        return self._flush(timeout)

    def begin_shutdown(self) -> None:
        """Ship without letting records gather from now on, because the process ends soon."""
        with self._lock:
            self._flushes += 1
            self._thread_wakes.notify_all()

    def _flush(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        with self._lock:
            self._flushes += 1
            self._thread_wakes.notify_all()
            is_alone = self._thread is None

        try:
            if is_alone:
                self._ship_all(deadline)
            with self._lock:
                self._all_settled.wait_for(lambda: self._queue.is_settled, max(deadline - time.monotonic(), 0))
                return self._queue.left
        finally:
            with self._lock:
                self._flushes -= 1

    def close(self, timeout: float) -> int:
        """Ship the records that can be shipped in time, and stop; return the number of lost records, now dropped."""
        if self._ledger.is_closed:
            return 0
        self._flush(timeout)
        with self._lock:
            if self._ledger.is_closed:
                return 0
            dropped = self._ledger.close()
            self._all_settled.notify_all()
            self._thread_wakes.notify_all()
            thread = self._thread

        if dropped:
            logger.warning("Dropped %d records that the sink %r did not take in time.", dropped, self.sink.name)
        if thread is None:
            self._close_sink()
        else:  # the thread closes the sink: at once, or later if it hangs in a server that does not answer
            thread.join(self._timings.hung_seconds if self._shipping.locked() else self._timings.close_seconds)

        return dropped

    def leave(self, timeout: float) -> None:
        """Have the thread deliver waiting records and end, because the app is gone; this waits for nothing.

        The garbage collector may call this anywhere, even in a thread that holds the lock.

        Args:
            timeout: Seconds that the delivery may take.
        """
        self._leave_timeout = timeout
        if self._lock.acquire(blocking=False):  # otherwise the thread checks by itself before long
            try:
                self._thread_wakes.notify_all()
            finally:
                self._lock.release()

    @property
    def is_stalled(self) -> bool:
        """Whether the last attempt failed."""
        return self._backoff_seconds > 0

    def forget(self) -> None:
        """Close the parent's files, in a forked child."""
        self._queue.forget()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            is_busy = is_rested = False
            while self._sleep_until_needed(is_busy=is_busy, is_rested=is_rested):
                is_busy = self._ship_next(time.monotonic() + self._timings.ship_timeout_seconds)
                is_rested = self.is_stalled and self._leave_timeout is None
                if is_rested:
                    self._pause(self._backoff_seconds)

            if self._ledger.is_closed:
                self._close_sink()
            else:
                self._end_alone()
        finally:
            with self._lock:
                self._thread = None  # if a BaseException ended it, the next record starts another

    def _end_alone(self) -> None:
        """Deliver the waiting records of an app that is gone, as the last user of the sink."""
        assert self._leave_timeout is not None
        with self._lock:
            self._thread = None  # so that closing does not wait for this thread
        self.close(self._leave_timeout)

    def _ship_all(self, deadline: float) -> None:
        """Do the work of the thread where there is none."""
        while self._ship_next(deadline) and time.monotonic() < deadline:
            if self._backoff_seconds:
                self._pause(min(self._backoff_seconds, max(deadline - time.monotonic(), 0)))

    def _sleep_until_needed(self, *, is_busy: bool, is_rested: bool) -> bool:
        """Sleep while no record waits, then while records gather; return False once closed.

        Records that came during a batch gather too. Shipped at once, they would be few at a time, without a pause, and
        a request would wait for the interpreter at every acknowledgement.

        Args:
            is_busy: Whether there was a batch.
            is_rested: Whether there was a pause after it, in which records have gathered.
        """
        queue = self._queue
        with self._lock:
            self._thread_wakes.wait_for(
                lambda: self._is_closing or not queue.is_settled or not self._in_flight.is_empty,
                self._timings.idle_seconds if queue.pause is None else queue.pause,
            )

            if not (is_rested or (is_busy and queue.is_behind)):
                self._thread_wakes.wait_for(self._is_urgent, self._timings.linger_seconds)
            return not self._is_closing

    @property
    def _is_closing(self) -> bool:
        return self._ledger.is_closed or self._leave_timeout is not None

    def _is_urgent(self) -> bool:
        return self._is_closing or self._flushes > 0 or self._queue.unread_bytes >= self._urgent_bytes

    def _ship_next(self, deadline: float) -> bool:
        """Maintain the queue and ship a batch, if there is one; return whether there was one."""
        if not self._shipping.acquire(timeout=max(deadline - time.monotonic(), 0)):
            return False
        try:
            if self._ledger.is_closed:  # by another thread, which has counted the records in flight
                return False

            self._maintain()
            try:
                batch = self._next_batch()
            except Exception:
                self._complain("Records for sink %r could not be read; they are kept.", self.sink.name)
                self._back_off()
                return True

            if batch is None:
                self._reset_backoff()
                return False
            self._ship(batch, max(deadline - time.monotonic(), 0))
            return True
        finally:
            self._shipping.release()
            with self._lock:
                if self._queue.is_settled:
                    self._all_settled.notify_all()

    def _maintain(self) -> None:
        try:
            self._queue.maintain()
        except Exception:
            self._complain("The records that wait for sink %r could not be looked after.", self.sink.name)
        self._ledger.follow_queue()

    def _next_batch(self) -> Batch | None:
        in_flight = self._in_flight
        while (batch := in_flight.next(is_all=False)) is None:
            chunk = self._queue.take(self._batch_bytes)
            if chunk is None:
                return in_flight.next(is_all=True)
            in_flight.add(chunk, self.sink.tag if chunk.tag is None else chunk.tag)
        return batch

    def _ship(self, batch: Batch, timeout: float) -> None:
        chunk = self._in_flight.chunk
        if self._in_flight.is_again:
            self._ledger.note_retry()

        try:
            self.sink.ship(batch, timeout)
        except Exception as error:  # no failure of a sink may end the thread
            self._complain("Sink %r did not take %d records; they are tried again.", self.sink.name, len(batch.records))
            self._back_off()
            if self._in_flight.failed(is_refusal=isinstance(error, RefusedError)) is not None:
                logger.warning("Sink %r takes others but not one record; it is dropped.", self.sink.name)
                self._ledger.give_up(batch, chunk)
            return

        self._ledger.deliver(batch, chunk)
        self._in_flight.delivered()
        self._reset_backoff()

    def _back_off(self) -> None:
        """Make the next pause longer."""
        longer = max(2 * self._backoff_seconds, self._timings.first_backoff_seconds)
        self._backoff_seconds = min(longer, self._timings.last_backoff_seconds)

    def _reset_backoff(self) -> None:
        if self._backoff_seconds:
            self._backoff_seconds = 0.0
            with self._lock:
                self._ledger.note_pause(0)

    def _pause(self, seconds: float) -> None:
        """Wait before the next attempt. Only a flush or the end shortens the wait; new records do not."""
        seconds *= self._timings.jitter()
        with self._lock:
            self._ledger.note_pause(seconds)
            if self._flushes:  # a caller of `flush` waits, and not for long: try more often
                seconds = min(seconds, self._timings.first_backoff_seconds)
                self._thread_wakes.wait_for(lambda: self._ledger.is_closed, seconds)
            else:
                self._thread_wakes.wait_for(lambda: self._is_closing or self._flushes > 0, seconds)

    def _complain(self, text: str, *values: Any) -> None:
        """Log the current exception, at most once in a minute."""
        error = sys.exc_info()[1]
        if error is not None and self._throttle.allows():
            warn_of(error, text, *values)

    def _close_sink(self) -> None:
        with self._shipping:
            try:
                self.sink.close()
            except Exception as error:
                logger.warning("Sink %r could not be closed.", self.sink.name, exc_info=loggable(error))
