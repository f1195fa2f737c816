"""Noticing that the process was forked, for the price of a memory access instead of a system call.

Forked processes must not use their parent's locks, random numbers or connections, so every request asks. Hooks of
Python's own would miss the forks of uWSGI, which runs none.
"""

from __future__ import annotations

import mmap
import os
from typing import Protocol

__all__ = ["ForkMark", "fork_mark"]

_WIPE_ON_FORK = 18
"""Linux's MADV_WIPEONFORK (since 4.14), for which Python has no name: a child finds the page filled with zeros."""


class ForkMark(Protocol):
    """Something whose item 0 is true in the process that made it, and false in its children."""

    def __getitem__(self, index: int, /) -> int: ...


def fork_mark() -> ForkMark:
    """Return a mark of this process: a page of memory, or where the system has no such pages, its id."""
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
