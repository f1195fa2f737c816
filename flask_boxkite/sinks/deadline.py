"""Deadlines of a batch, which is shipped in many steps."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["time_left"]


def time_left(deadline: float, clock: Callable[[], float] = time.monotonic) -> float:
    """Return the seconds until *deadline*, a time of *clock*, for use as a timeout.

    Raises:
        TimeoutError: The deadline has passed.
    """
    seconds = deadline - clock()
    if seconds <= 0:
        msg = "the time for this batch is over"
        raise TimeoutError(msg)
    return seconds
