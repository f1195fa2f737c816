"""A limit on log lines: a fault that returns with every request is counted each time, but logged seldom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Throttle"]

COMPLAINT_SECONDS = 60.0
"""One kind of trouble is logged at most once in this time."""


class Throttle:
    """Says when to log one kind of trouble. Two threads that ask at the same time may both get a yes.

    Args:
        seconds: Time in which the trouble is logged at most once.
        clock: Returns a monotonic time.
    """

    def __init__(self, seconds: float = COMPLAINT_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._allowed_at = -math.inf

    def allows(self) -> bool:
        """Say whether the trouble is to be logged now, because it was not logged lately."""
        now = self._clock()
        if now < self._allowed_at:
            return False
        self._allowed_at = now + self._seconds
        return True

    def allow_after(self, seconds: float) -> None:
        """Allow the next log line after so many seconds, because this time there was nothing to log."""
        self._allowed_at = self._clock() + seconds
