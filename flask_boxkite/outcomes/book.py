"""The book in which all processes of a server count the outcomes of a model, each at most once.

Outcomes are rare beside predictions, so one file takes them all, under its lock. A process that is killed at any moment
leaves each outcome counted exactly once or not at all; counted, if its call returned. So a caller that is not sure
tries again. Two outcomes with the same fingerprint of 64 bits are taken for one: one pair in 37 million books of a
million outcomes.

A file that is lost or damaged is replaced by an empty one, and counts begin again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flask_boxkite.live.totals import Totals
from flask_boxkite.outcomes import fingerprints
from flask_boxkite.outcomes.book_file import USUAL, BookFile, BookLimits
from flask_boxkite.outcomes.journal import WORDS, Blocks
from flask_boxkite.outcomes.storage import FileStorage, MemoryStorage, OpenStorage, Storage
from flask_boxkite.system.locks import can_lock
from flask_boxkite.system.throttle import Throttle

__all__ = ["Outcome", "OutcomeBook"]

logger = logging.getLogger("flask_boxkite")

LARGEST = 2**62
"""Largest count: one that reaches it stays there, and never falls."""


class Outcome(NamedTuple):
    """An outcome to be counted.

    Attributes:
        fingerprint: Hash of the prediction's id, a uniform unsigned number of 64 bits (0 stands for 1); None to count
            without a look at earlier ones, as for a rejection.
        increments: Pairs of a cell and the amount, 0 or more, to add to it; a cell may come several times.
    """

    fingerprint: int | None
    increments: tuple[tuple[int, int], ...] = ()


class OutcomeBook:
    """The outcomes of one model. Any thread may use it, also after a fork.

    Args:
        path: Path of the file, whose name must differ between releases with another `book_file.FORMAT` and between
            models with other cells: they would replace each other's file. None to count in this process, as on a
            system without file locks.
        cells: Number of counts.
        limits: Limits of the file.
    """

    def __init__(self, path: Path | None, cells: int, limits: BookLimits = USUAL) -> None:
        self._path = path
        self._at_once = limits.at_once
        self._file = BookFile(cells, limits)
        self._storage: Storage = (
            FileStorage(path, limits.patience_seconds) if path is not None and can_lock else MemoryStorage()
        )
        self._throttle = Throttle()

    def count(self, outcomes: Sequence[Outcome], *, repeated: int | None = None) -> list[bool]:
        """Count outcomes, unless they were counted before; return whether each was counted.

        Up to `book_file.AT_ONCE` outcomes are one transaction, all or none. More are several: if one of them fails,
        the outcomes before it stay counted.

        Args:
            outcomes: Outcomes in any number.
            repeated: Cell to raise by one for each outcome that was counted before.

        Raises:
            OSError: The file cannot be written: its disk is full, its directory is gone, or (`TimeoutError`) a process
                that was stopped keeps its lock.
            IndexError: A cell does not exist; no outcome of its transaction was counted.
        """
        parts = (outcomes[first : first + self._at_once] for first in range(0, len(outcomes), self._at_once))
        return [is_new for part in parts for is_new in self._transact(part, repeated)]

    def _transact(self, outcomes: Sequence[Outcome], repeated: int | None) -> list[bool]:
        while True:
            with self._storage.open() as storage:
                buckets = self._file.buckets(storage)
                if not buckets:
                    self._begin(storage)
                    continue

                self._file.journal.finish(storage)
                transaction = _Transaction(self._file, storage, buckets, repeated)
                try:
                    answers = [transaction.add(outcome) for outcome in outcomes]
                except _TableIsFull:
                    self._file.double(storage, buckets)
                    continue
                transaction.write()
                return answers

    def _begin(self, storage: OpenStorage) -> None:
        if storage.size():
            self._warn()
        self._file.begin(storage)

    def _warn(self) -> None:
        if self._throttle.allows():
            logger.warning(
                "Outcomes are counted from zero again, because the file '%s' is damaged, or is of another release or "
                "model; the next outcome replaces it.",
                self._path,
            )

    def totals(self) -> Totals:
        """Return the present counts of all processes, without sums: zeros if there is no file, or a damaged one.

        A read-only disk allows it.

        Raises:
            OSError: The file cannot be read, or (`TimeoutError`) a process that was stopped keeps its lock.
        """
        try:
            with self._storage.open(to_read=True) as storage:
                if self._file.buckets(storage):
                    return self._file.totals(storage)
                if storage.size():
                    self._warn()
        except FileNotFoundError:  # no process has counted yet, or a user deleted the file
            pass
        return Totals(np.zeros(self._file.cells, np.int64), np.zeros(0))


class _TableIsFull(Exception):
    """A fingerprint has no room; nothing was written."""


class _Transaction:
    """Outcomes that are being counted together; nothing is written before all are there.

    Args:
        file: Layout of the book.
        storage: Book, without a pending transaction.
        buckets: Number of buckets in its table.
        repeated: Cell to raise for each outcome that was counted before.
    """

    def __init__(self, file: BookFile, storage: OpenStorage, buckets: int, repeated: int | None) -> None:
        self._file = file
        self._blocks = Blocks(storage)
        self._buckets = buckets
        self._repeated = () if repeated is None else ((repeated, 1),)
        self._increments: list[tuple[int, int]] = []

    def add(self, outcome: Outcome) -> bool:
        """Add an outcome, and return whether it is new.

        Raises:
            _TableIsFull: The table must be doubled first.
            OSError: The book cannot be read.
        """
        if outcome.fingerprint is not None and not self._is_new(outcome.fingerprint or 1):
            self._increments += self._repeated
            return False
        self._increments += outcome.increments
        return True

    def _is_new(self, fingerprint: int) -> bool:
        is_new = fingerprints.add(fingerprint, self._buckets, self._bucket)
        if is_new is None:
            raise _TableIsFull
        return is_new

    def _bucket(self, bucket: int) -> list[int]:
        return self._blocks[self._file.buckets_start + bucket]

    def write(self) -> None:
        """Write all outcomes, or none.

        Raises:
            IndexError: A cell does not exist.
            OSError: The book cannot be read or written.
        """
        for cell, amount in self._increments:
            if not 0 <= cell < self._file.cells:
                msg = f"Cell {cell} is not one of {self._file.cells}"
                raise IndexError(msg)
            block, place = divmod(cell, WORDS)
            counts = self._blocks[self._file.cells_start + block]
            counts[place] = min(counts[place] + amount, LARGEST)
        self._blocks.write(self._file.journal)
