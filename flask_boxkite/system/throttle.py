"""A limit on log lines: a fault that returns with every request is counted each time, but logged seldom."""

from __future__ import annotations

import time

__all__ = ["Throttle"]

COMPLAINT_SECONDS = 60.0
"""One kind of trouble is logged at most once in this time."""


class Throttle:
    """Says when to log one kind of trouble. Two threads that ask at the same time may both get a yes."""

    def __init__(self) -> None:
        self._last = -COMPLAINT_SECONDS

    def allows(self) -> bool:
        """Say whether the trouble is to be logged now, because it was not logged lately."""
        now = time.monotonic()
        if now - self._last < COMPLAINT_SECONDS:
            return False
        self._last = now
        return True

    def allow_after(self, seconds: float) -> None:
        """Allow the next log line after so many seconds, because this time there was nothing to log."""
        self._last = time.monotonic() - COMPLAINT_SECONDS + seconds
