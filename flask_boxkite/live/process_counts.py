"""The live counts of one process: a block of numbers for each section.

`store.Store` puts the blocks of all processes of a server where each process can read them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.compiled import native
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.section import Section
from flask_boxkite.live.totals import Totals
from flask_boxkite.system.fork_mark import ForkMark

__all__ = ["ProcessCounts"]


class Raiser:
    """Adds increments to counts and sums.

    Args:
        cells: The counts, item by item: a list, or a view of memory.
        sums: The sums: a list, or a view of memory.
        array: Counts that are added to those, or are in the same memory.
    """

    __slots__ = ("_array", "_cells", "_sums")

    def __init__(self, cells: Any, sums: Any, array: NDArray[np.int64]) -> None:
        self._cells = cells
        self._sums = sums
        self._array = array

    def __call__(self, increments: Increments) -> None:
        """Add increments."""
        cells = self._cells
        for cell in increments.cells:
            cells[cell] += 1
        for cell, amount in increments.amounts:
            cells[cell] += amount

        if increments.wide is not None:
            self._array[increments.wide] += 1
        if increments.block is not None:
            self._array[: len(increments.block)] += increments.block
        for start, counts in increments.ranges:
            self._array[start : start + len(counts)] += counts
        for index, value in increments.sums:
            self._sums[index] += value


class ProcessCounts:
    """The numbers of one process for one section, and the lock that makes an addition atomic.

    They begin in memory: single cells in a list, whose items Python raises twice as fast as an array's, and arrays in
    an array. Later they move into a file that other processes read, where both are views of the same bytes. All threads
    of the process may use a block.

    Attributes:
        section: Description of the numbers.
        mark: Fork mark of the process.
        lock: Lock that guards all numbers; apart from the move to a file, no slow work happens under it.
        cells: Counts, item by item: a list, or a view of the file.
        sums: Sums: a list, or a view of the file.
        is_shared: Whether other processes can read the numbers.
        raise_counts: Adds increments; the caller holds the lock.
        slot_ends: Time when the next snapshot for the time windows is due (`windows`).
    """

    __slots__ = ("array", "cells", "is_shared", "lock", "mark", "raise_counts", "section", "slot_ends", "sums")

    def __init__(self, section: Section, mark: ForkMark) -> None:
        self.section = section
        self.mark = mark
        self.lock = threading.Lock()
        self.slot_ends = 0.0
        self.is_shared = False
        self.cells: Any = [0] * section.cells
        self.array = np.zeros(section.cells, dtype=np.int64)
        self.sums: Any = [0.0] * section.sums
        self.raise_counts: Callable[[Increments], object] = Raiser(self.cells, self.sums, self.array)

    def add(self, increments: Increments) -> None:
        """Add increments; readers in this process see all of them or none."""
        with self.lock:
            self.raise_counts(increments)

    def totals(self) -> Totals:
        """Return a copy of the numbers."""
        with self.lock:
            return self.numbers()

    def numbers(self) -> Totals:
        """Return a copy of the numbers; the caller holds the lock."""
        sums = np.array(self.sums, dtype=np.float64)
        if self.is_shared:
            return Totals(self.array.copy(), sums)
        return Totals(self.array + np.array(self.cells, dtype=np.int64), sums)

    def move(self, memory: Any) -> None:
        """Go on counting in *memory*, which holds the same numbers already; the caller holds the lock.

        Args:
            memory: Writable buffer with the counts as int64, then the sums as float64.
        """
        split = 8 * self.section.cells
        view = memoryview(memory)
        self.cells = view[:split].cast("q")
        self.array = np.frombuffer(view, dtype=np.int64, count=self.section.cells)
        self.sums = view[split : split + 8 * self.section.sums].cast("d")
        kind = Raiser if native is None else native.Raiser
        self.raise_counts = kind(self.cells, self.sums, self.array)
        self.is_shared = True

    def leave(self, *, keeps_numbers: bool) -> None:
        """Go on counting in this process's own memory, from the present numbers or from zero."""
        with self.lock:
            cells, sums = self.numbers() if keeps_numbers else Totals.zero(self.section)
            self.cells, self.sums = cells.tolist(), sums.tolist()
            self.array = np.zeros_like(cells)
            self.raise_counts = Raiser(self.cells, self.sums, self.array)
            self.is_shared = False
