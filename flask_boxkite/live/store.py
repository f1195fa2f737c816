"""Where live counts are kept: the numbers of one process, section by section, and what a prediction adds to them.

A *section* is a run of numbers that is counted and exported together: those of one model with one baseline, or those
of one sink. Every process has a *block* of its own for each section. `shared.Store` puts the blocks of all processes
of a server where each of them can read all.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.system.process import ForkMark

__all__ = ["Block", "Increments", "Section", "Totals", "section_key"]


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

    def note_gap(self, kind: str) -> None:
        """Note that a variable is missing and an unknown name is there, which may be meant.

        Args:
            kind: One of `GAPS`.
        """

    def add_block(self, block: NDArray[np.int64]) -> None:
        """Add counts to all cells."""
        self.block = block if self.block is None else self.block + block


class Totals(NamedTuple):
    """Counts and sums of a section, at one moment."""

    cells: NDArray[np.int64]
    sums: NDArray[np.float64]

    @classmethod
    def zero(cls, section: Section) -> Totals:
        """Return those of a section in which nothing was counted."""
        return cls(np.zeros(section.cells, np.int64), np.zeros(section.sums))


def section_key(*parts: str) -> str:
    """Return the key of a section from what tells it apart, such as ``"model"``, its name and its baseline."""
    return json.dumps(parts)


@dataclass(frozen=True)
class Section:
    """What a section is.

    Attributes:
        key: Names what is counted (see `section_key`); equal keys are added up.
        cells: Number of counts.
        sums: Number of sums.
        description: What a process that knows only the key needs to make sense of the numbers: of a model, its baseline
            file, compressed; of a sink, the path of this process's records on disk.
    """

    key: str
    cells: int
    sums: int
    description: bytes = b""


class Block:
    """The numbers of one process for one section, and the lock that makes an addition whole.

    They begin in memory: what comes cell by cell in a list, whose items Python raises twice as fast as those of an
    array; what comes as an array, in an array. Later they move into a file that other processes read, where both are
    views of the same bytes. Safe to use from any thread of its process.

    Attributes:
        section: What is counted.
        mark: Of the process.
        lock: Guards all numbers; nothing slow happens under it, but for the move to a file.
        cells: The counts, item by item: a list, or a view of the file.
        sums: The sums, likewise.
        is_shared: Whether others can read them.
        slot_ends: When the next snapshot for the time windows is due (`windows`).
    """

    __slots__ = ("array", "cells", "is_shared", "lock", "mark", "section", "slot_ends", "sums")

    def __init__(self, section: Section, mark: ForkMark) -> None:
        self.section = section
        self.mark = mark
        self.lock = threading.Lock()
        self.slot_ends = 0.0
        self.is_shared = False
        self.cells: Any = [0] * section.cells
        self.array = np.zeros(section.cells, dtype=np.int64)
        self.sums: Any = [0.0] * section.sums

    def add(self, increments: Increments) -> None:
        """Add, all at once as any reader in this process sees it."""
        with self.lock:
            cells = self.cells
            for cell in increments.cells:
                cells[cell] += 1
            for cell, amount in increments.amounts:
                cells[cell] += amount
            if increments.wide is not None:
                self.array[increments.wide] += 1
            if increments.block is not None:
                self.array += increments.block
            for index, value in increments.sums:
                self.sums[index] += value

    def totals(self) -> Totals:
        """Return a copy of the numbers."""
        with self.lock:
            return self.numbers()

    def numbers(self) -> Totals:
        """Return a copy of the numbers, for one who holds the lock."""
        sums = np.array(self.sums, dtype=np.float64)
        if self.is_shared:
            return Totals(self.array.copy(), sums)
        return Totals(self.array + np.array(self.cells, dtype=np.int64), sums)

    def move(self, memory: Any) -> None:
        """Go on counting in *memory*, which holds the same numbers already; for one who holds the lock.

        Args:
            memory: A writable buffer: the counts as int64, then the sums as float64.
        """
        split = 8 * self.section.cells
        view = memoryview(memory)
        self.cells = view[:split].cast("q")
        self.array = np.frombuffer(view, dtype=np.int64, count=self.section.cells)
        self.sums = view[split : split + 8 * self.section.sums].cast("d")
        self.is_shared = True

    def leave(self, *, keeps_numbers: bool) -> None:
        """Go on counting in memory that nobody else reads, from what was counted so far or from zero."""
        with self.lock:
            cells, sums = self.numbers() if keeps_numbers else Totals.zero(self.section)
            self.cells, self.sums = cells.tolist(), sums.tolist()
            self.array = np.zeros_like(cells)
            self.is_shared = False
