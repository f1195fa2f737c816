"""A mark by which a process notices that it was forked.

A forked process must not use its parent's locks, random numbers or connections. So every request checks for a fork,
for the price of a memory access instead of a system call. Python's fork hooks would not do: uWSGI does not run them.
"""

from __future__ import annotations

import mmap
import os
from typing import Protocol

__all__ = ["ForkMark", "fork_mark"]

_WIPE_ON_FORK = 18
"""Linux's MADV_WIPEONFORK (since 4.14), for which Python has no name: a child finds the page filled with zeros."""


class ForkMark(Protocol):
    """An object whose item 0 is true in the process that made it, and false in its children."""

    def __getitem__(self, index: int, /) -> int: ...


def fork_mark() -> ForkMark:
    """Return a mark of this process: a page of memory that a fork clears, or the process id where there are none."""
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_WIPE_ON_FORK)
    except (AttributeError, OSError, ValueError):
        return _ProcessId()
    page[0] = 1
    return page


class _ProcessId:
    """Compares process ids."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, index: int, /) -> int:
        return self._pid == os.getpid()
