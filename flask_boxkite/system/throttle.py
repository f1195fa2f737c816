"""What goes wrong in every request is counted each time, but logged seldom."""

from __future__ import annotations

import time

__all__ = ["Throttle"]

COMPLAINT_SECONDS = 60.0
"""The same kind of trouble is logged once in this time."""


class Throttle:
    """Says when to log one kind of trouble. Two threads that ask at once may both be told to."""

    def __init__(self) -> None:
        self._last = -COMPLAINT_SECONDS

    def allows(self) -> bool:
        """Say whether it was not logged lately; if so, it is now."""
        now = time.monotonic()
        if now - self._last < COMPLAINT_SECONDS:
            return False
        self._last = now
        return True

    def allow_after(self, seconds: float) -> None:
        """Allow the next one after so many seconds, since there was nothing to log this time."""
        self._last = time.monotonic() - COMPLAINT_SECONDS + seconds
