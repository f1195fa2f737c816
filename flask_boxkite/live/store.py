"""Where live counts are kept: the seam between counting and memory, and the store of a single process."""

from __future__ import annotations

import os
import threading
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Increments", "MemoryStore", "Store", "Totals"]


class Increments:
    """What one prediction adds: cells to raise by one, or, for a batch, a whole block of counts; and sums.

    Attributes:
        cells: Cells to raise by one, possibly several times.
        wide: More cells to raise by one, each once: those of a wide row, as an array. Or None.
        block: Counts to add to all cells, or None.
        sums: Pairs of index and what to add there.
    """

    __slots__ = ("block", "cells", "sums", "wide")

    def __init__(
        self, cells: list[int], *, wide: NDArray[np.intp] | None = None, block: NDArray[np.int64] | None = None
    ) -> None:
        self.cells = cells
        self.wide = wide
        self.block = block
        self.sums: list[tuple[int, float]] = []

    def raise_cell(self, cell: int, number: int = 1) -> None:
        """Raise one cell by *number*."""
        if self.block is not None:
            self.block[cell] += number
        else:
            self.cells += [cell] * number

    def add(self, other: Increments) -> None:
        """Take in what *other* adds."""
        self.cells += other.cells
        self.sums += other.sums
        if other.wide is not None:
            if self.wide is None:
                self.wide = other.wide
            else:  # both may hold no cell twice, so they cannot simply be joined
                self.cells += other.wide.tolist()
        if other.block is not None:
            self.block = other.block if self.block is None else self.block + other.block


class Totals(NamedTuple):
    """A consistent reading: every prediction is in it whole or not at all."""

    cells: NDArray[np.int64]
    sums: NDArray[np.float64]


class Store(Protocol):
    """Home of one model's live counts. Safe to use from any thread and after a fork."""

    def add(self, increments: Increments) -> None:
        """Add, all at once as a reader sees it."""

    def totals(self) -> Totals:
        """Return the counts of all processes that share the store."""


class _Block:
    """The numbers of one process, and the lock that makes an addition whole."""

    def __init__(self, pid: int, cells: int, sums: int) -> None:
        self.pid = pid
        self.lock = threading.Lock()
        self.array = np.zeros(cells, dtype=np.int64)
        # Indexing a memoryview is twice as fast as indexing an array, and no float appears on the way.
        self.cells = memoryview(self.array)
        self.sums = [0.0] * sums


class MemoryStore:
    """Counts of this process alone. A forked child starts at zero, with a lock of its own."""

    def __init__(self, cells: int, sums: int) -> None:
        self._shape = (cells, sums)
        # setdefault is atomic, so threads that meet in a new process agree on one block without a lock,
        # which a fork may have left held by a thread that does not exist any more.
        self._blocks: dict[int, _Block] = {}
        self._block = self._own_block()

    def _own_block(self) -> _Block:
        pid = os.getpid()
        self._block = self._blocks.setdefault(pid, _Block(pid, *self._shape))
        return self._block

    def add(self, increments: Increments) -> None:
        """Add under the process's lock; nothing slow happens inside."""
        block = self._block
        if block.pid != os.getpid():
            block = self._own_block()
        with block.lock:
            cells = block.cells
            for cell in increments.cells:
                cells[cell] += 1
            if increments.wide is not None:
                block.array[increments.wide] += 1
            if increments.block is not None:
                block.array += increments.block
            for index, value in increments.sums:
                block.sums[index] += value

    def totals(self) -> Totals:
        """Return a copy of the counts."""
        block = self._block
        if block.pid != os.getpid():
            block = self._own_block()
        with block.lock:
            return Totals(block.array.copy(), np.array(block.sums))
