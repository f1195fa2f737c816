"""The times, sizes and numbers by which records are delivered. They are no settings: only tests change them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask_boxkite.spool.adoption import FOLD_PATIENCE_SECONDS

__all__ = ["TIMINGS", "Timings"]


def _half_to_whole() -> float:
    return random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Timings:
    """The pace of a recorder, with the clocks and the randomness by which it goes.

    Attributes:
        linger_seconds: Time for which the thread lets records gather before it ships them. Each batch interrupts some
            requests, however small it is.
        urgent_bytes: Waiting bytes at which the thread ships at once; less for a small queue and for a spool.
        batch_bytes: Most bytes of a batch, unless a single record is larger. Receivers are made for it: it is within a
            chunk of Fluent Bit (2,048,000 bytes, whose input takes messages of up to 6,144,000) and of fluentd (8 MiB).
        ship_timeout_seconds: Time that the sink may take for one batch.
        first_backoff_seconds: Pause after the first failure; pauses double from here.
        last_backoff_seconds: Longest pause after a failure.
        jitter: Returns the part of a pause that is waited, so that processes do not all try at the same moment.
        idle_seconds: Time after which the thread checks whether the app is gone, in case the wake-up by `leave` failed.
        close_seconds: Time for which `close` waits until an idle sink is closed.
        hung_seconds: Time for which `close` waits until a sink that ships a batch is closed.
        refusals_before_split: Number of refusals after which a batch is split.
        refusals_before_giving_up: Number of refusals after which a record is given up, with others taken in between.
        first_suspect_pause_seconds: Pause before a suspect is tried again, doubled each time, so that a sink that is
            overloaded now and then takes it.
        most_suspects: Most suspects that are tried; others wait for their turn. So a sink that seldom takes a batch
            costs few records.
        scan_seconds: Time between two looks for the records of dead processes.
        recovery_seconds: Time between two attempts to write to a disk that was full.
        fold_patience_seconds: Time for which the adoption of a dead process's records waits for the fold of its counts.
        clock: Returns the monotonic time by which pauses and looks end.
        wall_clock: Returns the Unix time of a delivery.
    """

    linger_seconds: float = 1.0
    urgent_bytes: int = 8 * 1024 * 1024
    batch_bytes: int = 2_000_000
    ship_timeout_seconds: float = 10.0
    first_backoff_seconds: float = 0.1
    last_backoff_seconds: float = 10.0
    jitter: Callable[[], float] = _half_to_whole
    idle_seconds: float = 60.0
    close_seconds: float = 1.0
    hung_seconds: float = 0.1
    refusals_before_split: int = 3
    refusals_before_giving_up: int = 5
    first_suspect_pause_seconds: float = 1.0
    most_suspects: int = 16
    scan_seconds: float = 5.0
    recovery_seconds: float = 1.0
    fold_patience_seconds: float = FOLD_PATIENCE_SECONDS
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time


TIMINGS = Timings()
"""The timings of every recorder outside of tests."""
