"""What is in hand: records on their way to the sink, and what to try next when it does not take them.

A sink that is down says so, and everything waits. A sink that works but does not take a batch may be refusing a single
record in it, one that is too large for it, say. Such a batch is split, until one record is left; that is put aside and
tried again, after growing pauses in which others were delivered. If the sink takes others and, several times in turn,
not this one, it is given up. A sink that takes nothing at all refuses nothing, however long that lasts.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from flask_boxkite.delivery.queue import Chunk
from flask_boxkite.sinks.base import Batch

__all__ = ["Hand"]

REFUSALS_BEFORE_SPLIT = 3
REFUSALS_BEFORE_GIVING_UP = 5
FIRST_REST_SECONDS = 1.0
"""How long a suspect rests before it is tried again; twice as long each time. A sink that is only overloaded now and
then takes it meanwhile."""

MOST_SUSPECTS = 16
"""So many of those put aside are tried; others wait for their turn. If the sink takes something only now and then, not
too many can be given up for that."""


@dataclass
class _OpenChunk:
    chunk: Chunk
    """Without its records, which the batches have: what is delivered is not kept for want of what is not."""

    batches: int = 1
    delivered: int = 0
    given_up: int = 0


@dataclass(eq=False)
class _Trial:
    batch: Batch
    chunk: _OpenChunk
    attempts: int = 0
    refusals: int = 0
    """How often the sink worked and did not take it; of a suspect, only when it had just taken another."""

    rests_until: float = 0.0


class Hand:
    """The batches that were taken from a queue and are not settled.

    Args:
        settle: Called with each chunk from a disk that is done with, in the order in which they were added, with how
            many of its records were delivered, and how many given up. What comes from memory is forgotten by whoever
            delivers it, batch by batch: one suspect would keep all after it there.
    """

    def __init__(self, settle: Callable[[Chunk, int, int], None]) -> None:
        self._settle = settle
        self._chunks: deque[_OpenChunk] = deque()
        self._fresh: deque[_Trial] = deque()
        self._suspects: deque[_Trial] = deque()
        self._has_proof = False  # the sink took something since the last attempt with a suspect
        self._trial: _Trial | None = None

    def add(self, chunk: Chunk, tag: str) -> None:
        """Take a chunk in hand; one without any record is settled at once."""
        opened = _OpenChunk(chunk._replace(records=()))
        if chunk.taken is not None:
            self._chunks.append(opened)
        if chunk.records:
            self._fresh.append(_Trial(Batch(chunk.records, tag), opened))
        else:
            self._finish(opened)

    def next(self, *, is_all: bool) -> Batch | None:
        """Return what to try now; None if nothing.

        Args:
            is_all: Whether there is nothing more that could be added: then suspects are tried without proof.
        """
        suspect = self._rested_suspect() if self._has_proof or (is_all and not self._fresh) else None
        trial = suspect or (self._fresh[0] if self._fresh else None)
        self._trial = trial
        return trial.batch if trial else None

    def _rested_suspect(self) -> _Trial | None:
        now = time.monotonic()
        tried = itertools.islice(self._suspects, MOST_SUSPECTS)
        return next((suspect for suspect in tried if suspect.rests_until <= now), None)

    @property
    def chunk(self) -> Chunk:
        """The chunk of which the batch that `next` returned is a part, without its records."""
        assert self._trial is not None
        return self._trial.chunk.chunk

    @property
    def is_again(self) -> bool:
        """Whether the batch that `next` returned was tried before."""
        return self._trial is not None and self._trial.attempts > 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in hand."""
        return not self._fresh and not self._suspects

    def delivered(self) -> None:
        """Note that the sink has what `next` returned."""
        trial = self._tried()
        (self._suspects if trial in self._suspects else self._fresh).remove(trial)
        self._has_proof = True
        trial.chunk.delivered += len(trial.batch.records)
        self._finish(trial.chunk)

    def failed(self, *, is_refusal: bool) -> Batch | None:
        """Note that it has not.

        Args:
            is_refusal: Whether the sink seems to work all the same.

        Returns:
            A batch that is given up; as a rule None.
        """
        trial = self._tried()
        trial.attempts += 1
        if trial in self._suspects:
            return self._suspect_failed(trial, is_refusal=is_refusal)
        if is_refusal:
            trial.refusals += 1
            if trial.refusals >= REFUSALS_BEFORE_SPLIT:
                self._fresh.popleft()
                self._break_up(trial)
        return None

    def _tried(self) -> _Trial:
        trial, self._trial = self._trial, None
        assert trial is not None
        return trial

    def _suspect_failed(self, trial: _Trial, *, is_refusal: bool) -> Batch | None:
        if is_refusal and self._has_proof:
            trial.refusals += 1
        self._has_proof = False
        trial.rests_until = time.monotonic() + FIRST_REST_SECONDS * 2**trial.refusals
        if trial.refusals < REFUSALS_BEFORE_GIVING_UP:
            return None
        self._suspects.remove(trial)
        trial.chunk.given_up += len(trial.batch.records)
        self._finish(trial.chunk)
        return trial.batch

    def _break_up(self, trial: _Trial) -> None:
        records, tag = trial.batch.records, trial.batch.tag
        if len(records) == 1:
            rests_until = time.monotonic() + FIRST_REST_SECONDS
            self._suspects.append(_Trial(trial.batch, trial.chunk, trial.attempts, rests_until=rests_until))
            return
        middle = len(records) // 2
        trial.chunk.batches += 1
        for half in (records[middle:], records[:middle]):
            part = _Trial(Batch(half, tag), trial.chunk, refusals=REFUSALS_BEFORE_SPLIT - 1)
            self._fresh.appendleft(part)

    def _finish(self, chunk: _OpenChunk) -> None:
        chunk.batches -= 1
        while self._chunks and self._chunks[0].batches == 0:
            done = self._chunks.popleft()
            self._settle(done.chunk, done.delivered, done.given_up)
