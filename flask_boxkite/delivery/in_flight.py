"""The batches in flight: records on their way to the sink, and the order of attempts when it does not take them.

A sink that is down says so, and all batches wait. A sink that works but does not take a batch may refuse a single
record in it: one that is too large, say. Such a batch is split until one record is left, the suspect. A suspect is put
aside and tried again after growing pauses in which the sink took other batches. If the sink takes others and, several
times in a row, not the suspect, the suspect is given up. A sink that takes no batch at all refuses none.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from flask_boxkite.delivery.queue import Chunk
from flask_boxkite.delivery.timings import TIMINGS, Timings
from flask_boxkite.sinks.base import Batch

__all__ = ["InFlight"]


@dataclass
class _OpenChunk:
    chunk: Chunk
    """The chunk without its records: only undelivered batches keep theirs, so delivered records are freed early."""

    batches: int = 1
    delivered: int = 0
    given_up: int = 0


@dataclass(eq=False)
class _Trial:
    batch: Batch
    chunk: _OpenChunk
    attempts: int = 0
    refusals: int = 0
    """Number of refusals by a sink that works; for a suspect, only refusals after the sink had just taken another."""

    retry_at: float = 0.0


class InFlight:
    """The batches that were taken from a queue and are not settled.

    Args:
        settle: Called with each finished chunk from a disk, in the order of `add`, and with the numbers of its records
            that were delivered and given up. The shipper settles records from memory itself, batch by batch: one
            suspect would keep all later records in memory.
        timings: Numbers of refusals, pauses, and the clock.
    """

    def __init__(self, settle: Callable[[Chunk, int, int], None], timings: Timings = TIMINGS) -> None:
        self._settle = settle
        self._timings = timings
        self._chunks: deque[_OpenChunk] = deque()
        self._fresh: deque[_Trial] = deque()
        self._suspects: deque[_Trial] = deque()
        self._has_proof = False  # whether the sink took a batch since the last attempt with a suspect
        self._trial: _Trial | None = None

    def add(self, chunk: Chunk, tag: str) -> None:
        """Add a chunk; one without records is settled at once."""
        opened = _OpenChunk(chunk._replace(records=()))
        if chunk.taken is not None:
            self._chunks.append(opened)
        if chunk.records:
            self._fresh.append(_Trial(Batch(chunk.records, tag), opened))
        else:
            self._finish(opened)

    def next(self, *, is_all: bool) -> Batch | None:
        """Return the batch to try now; None if there is none.

        Args:
            is_all: Whether the queue has no more chunks to add: then suspects are tried without proof.
        """
        suspect = self._rested_suspect() if self._has_proof or (is_all and not self._fresh) else None
        trial = suspect or (self._fresh[0] if self._fresh else None)
        self._trial = trial
        return trial.batch if trial else None

    def _rested_suspect(self) -> _Trial | None:
        now = self._timings.clock()
        tried = itertools.islice(self._suspects, self._timings.most_suspects)
        return next((suspect for suspect in tried if suspect.retry_at <= now), None)

    @property
    def chunk(self) -> Chunk:
        """The chunk, without its records, of the batch that `next` returned."""
        assert self._trial is not None
        return self._trial.chunk.chunk

    @property
    def is_again(self) -> bool:
        """Whether the batch that `next` returned was tried before."""
        return self._trial is not None and self._trial.attempts > 0

    @property
    def is_empty(self) -> bool:
        """Whether there is no batch."""
        return not self._fresh and not self._suspects

    def delivered(self) -> None:
        """Note that the sink has the batch that `next` returned."""
        trial = self._tried()
        (self._suspects if trial in self._suspects else self._fresh).remove(trial)
        self._has_proof = True
        trial.chunk.delivered += len(trial.batch.records)
        self._finish(trial.chunk)

    def failed(self, *, is_refusal: bool) -> Batch | None:
        """Note that the sink did not take the batch that `next` returned.

        Args:
            is_refusal: Whether the sink seems to work.

        Returns:
            The batch if it is given up; None if it is tried again.
        """
        trial = self._tried()
        trial.attempts += 1
        if trial in self._suspects:
            return self._suspect_failed(trial, is_refusal=is_refusal)
        if is_refusal:
            trial.refusals += 1
            if trial.refusals >= self._timings.refusals_before_split:
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
        trial.retry_at = self._rested_at(trial.refusals)
        if trial.refusals < self._timings.refusals_before_giving_up:
            return None
        self._suspects.remove(trial)
        trial.chunk.given_up += len(trial.batch.records)
        self._finish(trial.chunk)
        return trial.batch

    def _break_up(self, trial: _Trial) -> None:
        records, tag = trial.batch.records, trial.batch.tag
        if len(records) == 1:
            suspect = _Trial(trial.batch, trial.chunk, trial.attempts, retry_at=self._rested_at(0))
            self._suspects.append(suspect)
            return

        middle = len(records) // 2
        trial.chunk.batches += 1
        for half in (records[middle:], records[:middle]):
            part = _Trial(Batch(half, tag), trial.chunk, refusals=self._timings.refusals_before_split - 1)
            self._fresh.appendleft(part)

    def _rested_at(self, refusals: int) -> float:
        return self._timings.clock() + self._timings.first_suspect_pause_seconds * (1 << refusals)

    def _finish(self, chunk: _OpenChunk) -> None:
        chunk.batches -= 1
        while self._chunks and self._chunks[0].batches == 0:
            done = self._chunks.popleft()
            self._settle(done.chunk, done.delivered, done.given_up)
