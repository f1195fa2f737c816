"""Clocks that no one sets: how much time has passed, also during a suspend, and from one boot to the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from flask_boxkite.system.process import boot_id

__all__ = ["Moment", "uptime"]

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)

uptime: Callable[[], float] = time.monotonic if _BOOTTIME is None else partial(time.clock_gettime, _BOOTTIME)
"""Return the seconds since some moment in the past, the same one for all processes of the machine.

Linux stops its monotonic clock during a suspend: the last 5 minutes would hold what came before a night's sleep.
"""


class Moment(NamedTuple):
    """A moment that files can keep. A wall clock that jumps does not change its age.

    Attributes:
        boot: Boot of the machine; empty where the system does not say.
        uptime: Seconds by `uptime`.
        wall: Unix seconds.
    """

    boot: str
    uptime: float
    wall: float

    @classmethod
    def now(cls) -> Moment:
        """Return the present one."""
        return cls(boot_id(), uptime(), time.time())

    def age(self) -> float:
        """Return how many seconds ago it was; after a reboot, the least that two clocks agree on."""
        now = Moment.now()
        elapsed = now.uptime - self.uptime
        if self.boot == now.boot and elapsed >= 0:
            return elapsed
        return min(now.uptime, abs(now.wall - self.wall))
