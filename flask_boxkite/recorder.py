"""Packed records that wait, and the one thread per process that ships them.

A request only appends bytes to a bounded queue, a few microseconds; the thread ships them seldom and in large batches,
so that it hardly ever contends with requests for the interpreter. At all times

    accepted = delivered + waiting + dropped

and every drop is counted by reason. Nothing starts before the first record, so a server may fork as it likes; a forked
child begins with an empty queue, a lock and a sink of its own, and leaves alone what its parent has in hand.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from flask_boxkite.naming import DROP_REASONS
from flask_boxkite.sinks.base import Batch, Sink

__all__ = ["Recorder", "RecorderCounts"]

logger = logging.getLogger("flask_boxkite")

LINGER_SECONDS = 0.2
"""How long the thread lets records gather before it ships them."""

HURRY_BYTES = 512 * 1024
"""With this much waiting, it does not."""

BATCH_BYTES = 1024 * 1024
SHIP_TIMEOUT_SECONDS = 10.0
FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 30.0
COMPLAINT_SECONDS = 60.0
"""The same trouble is logged once in this time."""


class RecorderCounts(NamedTuple):
    """What became of the records of this process."""

    accepted: int
    delivered: int
    dropped: dict[str, int]
    waiting: int
    waiting_bytes: int


class _Process:
    """The queue and the thread of one process."""

    def __init__(self, pid: int, sink: Sink) -> None:
        self.pid = pid
        self.sink = sink
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.queue: deque[bytes] = deque()
        self.queued_bytes = 0
        self.in_hand: Batch | None = None
        self.in_hand_bytes = 0
        self.accepted = 0
        self.delivered = 0
        self.dropped = dict.fromkeys(DROP_REASONS, 0)
        self.thread: threading.Thread | None = None
        self.has_work = threading.Event()
        self.hurry = threading.Event()
        self.is_closed = False

    @property
    def waiting(self) -> int:
        return self.accepted - self.delivered - sum(self.dropped.values())

    def take_batch(self) -> Batch | None:
        """Return what to ship next: again what is in hand, else the oldest records."""
        with self.lock:
            if self.in_hand is None and self.queue:
                records: list[bytes] = []
                size = 0
                while self.queue and (not records or size + len(self.queue[0]) <= BATCH_BYTES):
                    size += len(self.queue[0])
                    records.append(self.queue.popleft())
                self.in_hand, self.in_hand_bytes = Batch(records), size
                self.queued_bytes -= size
            return self.in_hand

    def settle(self, batch: Batch) -> None:
        """Note that *batch* was delivered."""
        with self.lock:
            if self.in_hand is batch:
                self.delivered += len(batch.records)
                self.in_hand, self.in_hand_bytes = None, 0
            self.changed.notify_all()

    def drop_all(self, reason: str) -> int:
        """Give up what waits; return how many records that were."""
        with self.lock:
            number = self.waiting
            self.dropped[reason] += number
            self.queue.clear()
            self.queued_bytes = 0
            self.in_hand, self.in_hand_bytes = None, 0
            self.changed.notify_all()
            return number


class Recorder:
    """Takes packed records from any thread and has them shipped.

    Args:
        make_sink: Builds the sink; called here, and again in every forked process that records something.
        max_bytes: Bound of what waits. Beyond it, the oldest records are dropped first.
        shutdown_timeout: Seconds that `close` and the end of the process may take to deliver what waits.
    """

    def __init__(self, make_sink: Callable[[], Sink], *, max_bytes: int, shutdown_timeout: float) -> None:
        self._make_sink = make_sink
        self._max_bytes = max_bytes
        self._shutdown_timeout = shutdown_timeout
        self._last_complaint = -COMPLAINT_SECONDS
        sink = make_sink()
        self.sink_name = sink.name
        # setdefault is atomic: threads that meet in a new process agree on one state without a lock, which a fork
        # may have left held by a thread that does not exist any more.
        self._processes: dict[int, _Process] = {}
        self._process = self._processes.setdefault(os.getpid(), _Process(os.getpid(), sink))

    def _own(self) -> _Process:
        process = self._process
        if process.pid != os.getpid():
            pid = os.getpid()
            process = self._processes.get(pid) or self._processes.setdefault(pid, _Process(pid, self._make_sink()))
            self._process = process
        return process

    @property
    def sink(self) -> Sink:
        """The sink of this process, for packing."""
        return self._own().sink

    def submit(self, packed: bytes) -> None:
        """Queue a packed record. Never waits for anything but other requests doing the same."""
        process = self._own()
        size = len(packed)
        with process.lock:
            process.accepted += 1
            if process.is_closed or size > self._max_bytes:
                process.dropped["shutdown" if process.is_closed else "too_large"] += 1
                return
            was_empty = not process.queue
            process.queue.append(packed)
            process.queued_bytes += size
            while process.queued_bytes + process.in_hand_bytes > self._max_bytes:
                process.queued_bytes -= len(process.queue.popleft())
                process.dropped["queue_full"] += 1
            must_start = process.thread is None
            if must_start:
                process.thread = threading.Thread(
                    target=self._run, args=(process,), name="boxkite-recorder", daemon=True
                )
        if must_start:
            self._start(process)
        if was_empty:
            process.has_work.set()
        if process.queued_bytes >= HURRY_BYTES:
            process.hurry.set()

    def drop(self, reason: str) -> None:
        """Count a record that could not even be packed."""
        process = self._own()
        with process.lock:
            process.accepted += 1
            process.dropped[reason] += 1

    def counts(self) -> RecorderCounts:
        """Return what became of this process's records."""
        process = self._own()
        with process.lock:
            return RecorderCounts(
                process.accepted,
                process.delivered,
                dict(process.dropped),
                process.waiting,
                process.queued_bytes + process.in_hand_bytes,
            )

    def flush(self, timeout: float) -> int:
        """Wait until everything queued is delivered; return how many records are left after *timeout* seconds."""
        process = self._own()
        deadline = time.monotonic() + timeout
        process.hurry.set()
        process.has_work.set()
        if not _is_running(process):
            self._ship_all(process, deadline)
        with process.changed:
            process.changed.wait_for(lambda: process.waiting == 0, max(deadline - time.monotonic(), 0))
            return process.waiting

    def close(self, timeout: float | None = None) -> int:
        """Deliver what can be delivered in time, count the rest as dropped, and stop.

        Returns:
            How many records were dropped.
        """
        process = self._own()
        atexit.unregister(self._at_exit)
        left = self.flush(self._shutdown_timeout if timeout is None else timeout)
        process.is_closed = True
        dropped = process.drop_all("shutdown") if left else 0
        if dropped:
            logger.warning("Dropped %d records that the sink %r did not take in time.", dropped, self.sink_name)
        process.has_work.set()
        process.hurry.set()
        if _is_running(process):
            assert process.thread is not None
            process.thread.join(0.0 if dropped else 1.0)
        if not _is_running(process):
            process.sink.close()
        return dropped

    # --- the thread --------------------------------------------------------------------------------------------------

    def _start(self, process: _Process) -> None:
        atexit.register(self._at_exit, process.pid)
        try:
            assert process.thread is not None
            process.thread.start()
        except RuntimeError:  # Python is shutting down and starts no thread any more: `close` ships by itself
            pass

    def _at_exit(self, pid: int) -> None:
        if pid == os.getpid():
            self.close()

    def _run(self, process: _Process) -> None:
        while not process.is_closed:
            process.has_work.wait()
            process.hurry.wait(LINGER_SECONDS)
            process.has_work.clear()
            process.hurry.clear()
            self._ship_all(process, None)

    def _ship_all(self, process: _Process, deadline: float | None) -> None:
        """Ship until nothing waits; with a deadline, at most until then."""
        backoff = FIRST_BACKOFF_SECONDS
        while not process.is_closed and (batch := process.take_batch()) is not None:
            timeout = SHIP_TIMEOUT_SECONDS if deadline is None else deadline - time.monotonic()
            if timeout <= 0:
                return
            try:
                process.sink.ship(batch, timeout)
            except Exception:  # whatever goes wrong in a sink must not end the thread
                self._complain(len(batch.records))
                pause = backoff * random.uniform(0.5, 1.0)
                backoff = min(backoff * 2, LAST_BACKOFF_SECONDS)
                if process.hurry.wait(pause if deadline is None else min(pause, max(deadline - time.monotonic(), 0))):
                    process.hurry.clear()
            else:
                backoff = FIRST_BACKOFF_SECONDS
                process.settle(batch)

    def _complain(self, records: int) -> None:
        now = time.monotonic()
        if now - self._last_complaint >= COMPLAINT_SECONDS:
            self._last_complaint = now
            logger.warning(
                "Sink %r did not take %d records; they are kept and tried again.", self.sink_name, records, exc_info=True
            )


def _is_running(process: _Process) -> bool:
    return process.thread is not None and process.thread.is_alive()
