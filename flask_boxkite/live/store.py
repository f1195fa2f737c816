"""Where live counts are kept: the seam between counting and memory, and the store of a single process."""

from __future__ import annotations

import os
import threading
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.process import fork_mark

__all__ = ["Increments", "MemoryStore", "Store", "Totals"]


class Increments:
    """What one prediction adds: cells to raise by one, or, for a batch, a whole block of counts; and sums.

    Attributes:
        cells: Cells to raise by one, possibly several times.
        amounts: Pairs of cell and how much to add to it.
        wide: More cells to raise by one, each once: those of a wide row, as an array. Or None.
        block: Counts to add to all cells, or None.
        sums: Pairs of index and what to add there.
    """

    __slots__ = ("amounts", "block", "cells", "sums", "wide")

    def __init__(
        self,
        cells: list[int] | None = None,
        *,
        wide: NDArray[np.intp] | None = None,
        block: NDArray[np.int64] | None = None,
    ) -> None:
        self.cells = [] if cells is None else cells
        self.amounts: list[tuple[int, int]] = []
        self.wide = wide
        self.block = block
        self.sums: list[tuple[int, float]] = []

    def raise_cells(self, cells: NDArray[np.intp]) -> None:
        """Raise cells by one, no cell twice."""
        if self.wide is None:
            self.wide = cells
        else:  # together they might hold a cell twice
            self.cells += cells.tolist()

    def add_block(self, block: NDArray[np.int64]) -> None:
        """Add counts to all cells."""
        self.block = block if self.block is None else self.block + block


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
    """The numbers of one process, and the lock that makes an addition whole.

    What comes cell by cell is kept in a list, whose items Python raises twice as fast as those of an array; what comes
    as an array, in an array.
    """

    def __init__(self, pid: int, cells: int, sums: int) -> None:
        self.pid = pid
        self.mark = fork_mark()
        self.lock = threading.Lock()
        self.cells = [0] * cells
        self.array = np.zeros(cells, dtype=np.int64)
        self.sums = [0.0] * sums


class MemoryStore:
    """Counts of this process alone. A forked child starts at zero, with a lock of its own."""

    def __init__(self, cells: int, sums: int) -> None:
        self._shape = (cells, sums)
        # setdefault is atomic, so threads that meet in a new process agree on one block without a lock,
        # which a fork may have left held by a thread that does not exist any more.
        self._blocks: dict[int, _Block] = {}
        self._block = self._own_block()

    def _own_block(self, parent: int | None = None) -> _Block:
        pid = os.getpid()
        block = self._block = self._blocks.setdefault(pid, _Block(pid, *self._shape))
        if parent is not None:  # its counts are not ours, and its id may come again
            self._blocks.pop(parent, None)
        return block

    def add(self, increments: Increments) -> None:
        """Add under the process's lock; nothing slow happens inside."""
        block = self._block
        if not block.mark[0]:
            block = self._own_block(block.pid)
        with block.lock:
            cells = block.cells
            for cell in increments.cells:
                cells[cell] += 1
            for cell, amount in increments.amounts:
                cells[cell] += amount
            if increments.wide is not None:
                block.array[increments.wide] += 1
            if increments.block is not None:
                block.array += increments.block
            for index, value in increments.sums:
                block.sums[index] += value

    def totals(self) -> Totals:
        """Return a copy of the counts."""
        block = self._block
        if not block.mark[0]:
            block = self._own_block(block.pid)
        with block.lock:
            return Totals(block.array + np.array(block.cells, dtype=np.int64), np.array(block.sums))
