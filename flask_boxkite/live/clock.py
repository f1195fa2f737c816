"""The clock by which time windows go by: it runs on while the machine is suspended, and no one sets it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

__all__ = ["uptime"]

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)

uptime: Callable[[], float] = time.monotonic if _BOOTTIME is None else partial(time.clock_gettime, _BOOTTIME)
"""Return the seconds since some moment in the past, the same one for all processes of the machine.

Linux stops its monotonic clock during a suspend: the last 5 minutes would hold what came before a night's sleep.
"""
