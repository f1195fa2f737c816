"""Python's search for garbage, which in the thousands of lists of a block of records takes a third of the time."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["no_collection", "rarely_collected"]

T = TypeVar("T")

_PIECES = 100
"""Pieces between two searches: some 50 MB of lines."""


@contextmanager
def no_collection() -> Iterator[None]:
    """Have Python look for no garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def rarely_collected(pieces: Iterable[T]) -> Iterator[T]:
    """Yield the pieces of a reading, and have Python look for garbage once in a while only, as readers make little."""
    with no_collection():
        for number, piece in enumerate(pieces, start=1):
            yield piece
            if number % _PIECES == 0:
                gc.collect(1)
