"""A sink in memory that takes records, or does not, as a test wishes; and the threads that ship to it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from flask_boxkite.delivery import Recorder
from flask_boxkite.sinks.base import Batch
from tests.peers import wait_for

__all__ = ["Gate", "MemorySink", "recorder_threads", "refuse", "settle"]


class MemorySink:
    """A sink that keeps what it is given, or does not take it, as a test wishes.

    Attributes:
        shipped: Records taken, oldest first.
        attempts: Ids of all batches that were offered.
        problem: Called with every batch before it is taken; raises if it is not.
        overlaps: How often two threads were inside at once; must stay 0.
        close_calls: How often it was closed.
    """

    name = "memory"
    is_of_lines = False
    tag = ""

    def __init__(self) -> None:
        self.shipped: list[bytes] = []
        self.attempts: list[str] = []
        self.problem: Callable[[Batch], None] = lambda batch: None
        self.overlaps = 0
        self.close_calls = 0
        self.pid = os.getpid()
        self._inside = threading.Lock()

    def entry_head(self, time_ns: int) -> bytes:
        raise NotImplementedError

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        raise NotImplementedError

    def ship(self, batch: Batch, timeout: float) -> None:
        assert self.pid == os.getpid()
        if not self._inside.acquire(blocking=False):
            self.overlaps += 1
            return
        try:
            self.attempts.append(batch.id)
            self.problem(batch)
            self.shipped += batch.records
        finally:
            self._inside.release()

    def close(self) -> None:
        if self._inside.locked():
            self.overlaps += 1
        self.close_calls += 1

    def forked(self) -> MemorySink:
        return MemorySink()


class Gate:
    """A sink's problem that holds every batch until the gate is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, batch: Batch) -> None:
        self.entered.set()
        self.opened.wait(60)


def refuse(batch: Batch) -> None:
    """Take nothing."""
    msg = "the sink is down"
    raise ConnectionError(msg)


def recorder_threads() -> list[threading.Thread]:
    """Return the threads of all recorders."""
    return [thread for thread in threading.enumerate() if thread.name == "boxkite-recorder"]


def settle(recorder: Recorder) -> None:
    """Wait until nothing waits, without hurrying the recorder."""
    wait_for(lambda: recorder.counts().waiting == 0, what="an empty queue")
