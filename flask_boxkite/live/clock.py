"""Clocks that no user can set: time that has passed, also during a suspend and from one boot to the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from flask_boxkite.system.process import boot_id

__all__ = ["Moment", "uptime"]

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)

uptime: Callable[[], float] = time.monotonic if _BOOTTIME is None else partial(time.clock_gettime, _BOOTTIME)
"""Return the seconds since a moment in the past, the same one for all processes of the machine.

Linux stops its monotonic clock during a suspend: the last 5 minutes would include requests from before a night's sleep.
"""


class Moment(NamedTuple):
    """A moment that files can keep. A wall clock that jumps does not change its age.

    Attributes:
        boot: Id of the machine's boot; empty where the system has none.
        uptime: Seconds by `uptime`.
        wall: Unix seconds.
    """

    boot: str
    uptime: float
    wall: float

    @classmethod
    def now(cls) -> Moment:
        """Return the present moment."""
        return cls(boot_id(), uptime(), time.time())

    def age(self, now: Moment) -> float:
        """Return the seconds from the moment to *now*; after a reboot, the lower answer of two clocks."""
        elapsed = now.uptime - self.uptime
        if self.boot == now.boot and elapsed >= 0:
            return elapsed
        return min(now.uptime, abs(now.wall - self.wall))
