"""Python's search for garbage, which in the thousands of lists of a block of records takes a third of the time."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TypeVar

__all__ = ["no_collection", "rarely_collected"]

T = TypeVar("T")

_PIECES = 100
"""Pieces between two searches: some 50 MB of lines."""


class _Pause:
    """A pause of the search, which ends when the last thread has left it."""

    def __init__(self) -> None:
        self._lock = RLock()  # a search may close a generator, which leaves
        self._inside = 0
        self._was_enabled = False

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside = max(self._inside - 1, 0)
            if not self._inside and self._was_enabled:
                gc.enable()

    def end_in_child(self) -> None:
        """End it in a forked process, which lacks the threads that would leave."""
        self._lock = RLock()
        if self._inside:
            self._inside = 1
            self.leave()


_PAUSE = _Pause()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PAUSE.end_in_child)


@contextmanager
def no_collection() -> Iterator[None]:
    """Have Python look for no garbage, until all threads have left."""
    _PAUSE.enter()
    try:
        yield
    finally:
        _PAUSE.leave()


def rarely_collected(pieces: Iterable[T]) -> Iterator[T]:
    """Yield the pieces of a reading, and have Python look for garbage once in a while only, as readers make little."""
    with no_collection():
        for number, piece in enumerate(pieces, start=1):
            yield piece
            if number % _PIECES == 0:
                gc.collect(1)
