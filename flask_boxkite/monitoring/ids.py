"""Ids of predictions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple

from flask_boxkite.system.fork_mark import ForkMark, fork_mark

__all__ = ["IdMaker", "PredictionId"]

_POOL_SIZE = 256
_new = tuple.__new__  # half the time of a named tuple's own constructor
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class PredictionId(NamedTuple):
    """Id of one prediction.

    Attributes:
        text: ``{server_id}/{YYYY-MM-DDTHH:MM:SS}/{uuid4}``; row i of a batch is ``{text}/{i}``.
        entity_id: The uuid4.
        time_ns: Time of the prediction in Unix nanoseconds.
    """

    text: str
    entity_id: str
    time_ns: int

    def is_sampled(self, rate: float) -> bool:
        """Say whether this prediction belongs to the share *rate*; the answer is the same everywhere and always."""
        return rate >= 1 or int(self.entity_id[:8], 16) < rate * 2**32


class IdMaker:
    """Makes prediction ids for a server, in less than a microsecond, from any thread and after a fork.

    It formats the date once a second, and makes random ids 256 at a time. Each call of `os.urandom` releases the
    interpreter lock, which costs 30 µs while the recorder's thread waits. A forked process makes its own ids.
    """

    def __init__(self, server_id: str, clock: Callable[[], int] = time.time_ns) -> None:
        self._server_id = server_id
        self._clock = clock
        self._start = (-1, "")
        self._pool: tuple[ForkMark, list[str]] = (fork_mark(), [])

    def __call__(self) -> PredictionId:
        """Return a new id."""
        now = self._clock()
        second, start = self._start
        if second != now // 1_000_000_000:
            second = now // 1_000_000_000
            start = f"{self._server_id}/{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}/"
            self._start = (second, start)

        mark, pool = self._pool
        if not mark[0]:
            pool = self._refill()
        try:
            entity_id = pool.pop()  # atomic: no two threads get the same id
        except IndexError:
            entity_id = self._refill().pop()
        return _new(PredictionId, (start + entity_id, entity_id, now))

    def _refill(self) -> list[str]:
        """Make more random ids. Pool and fork mark change together, so that a child cannot use its parent's ids."""
        digits = os.urandom(16 * _POOL_SIZE).hex()
        pool = [_uuid4(digits[start : start + 32]) for start in range(0, len(digits), 32)]
        mark = self._pool[0]
        self._pool = (mark if mark[0] else fork_mark(), pool)
        return pool


def _uuid4(h: str) -> str:
    """Write 32 random hexadecimal digits as a uuid of version 4."""
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:]}"
