"""The live counts of one process, section by section, and the increments of a prediction.

A *section* is a run of numbers that is counted and exported together, for one model with one baseline, or for one
sink. Every process has a *block* of its own for each section. `shared.Store` puts the blocks of all processes of a
server where each process can read them.
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
    """The increments of one prediction: cells to raise by one, or, for a batch, a block of counts; and sums.

    Attributes:
        cells: Cells to raise by one, possibly several times.
        amounts: Pairs of a cell and the amount to add to it.
        wide: More cells to raise by one, each once, as an array for a wide row; None for no more.
        block: Counts to add to all cells, or None.
        sums: Pairs of an index and the amount to add to that sum.
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
        """Raise cells by one; no cell may come twice."""
        if self.wide is None:
            self.wide = cells
        else:  # both arrays together might hold a cell twice
            self.cells += cells.tolist()

    def note_gap(self, kind: str) -> None:
        """Note that a variable is missing while an unknown name, which may be its misspelling, is there.

        Args:
            kind: Kind of the gap, one of `GAPS`.
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
        """Return zeros for a section."""
        return cls(np.zeros(section.cells, np.int64), np.zeros(section.sums))


def section_key(*parts: str) -> str:
    """Return the key of a section from its distinguishing parts, such as ``"model"``, its name and its baseline."""
    return json.dumps(parts)


@dataclass(frozen=True)
class Section:
    """The description of a section.

    Attributes:
        key: Name of the section (see `section_key`); sections with equal keys are added up.
        cells: Number of counts.
        sums: Number of sums.
        description: Bytes by which a process that knows only the key can read the numbers: a model's baseline file,
            compressed, or the path of this process's records on disk for a sink.
    """

    key: str
    cells: int
    sums: int
    description: bytes = b""


class Block:
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
        slot_ends: Time when the next snapshot for the time windows is due (`windows`).
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
        """Add increments; readers in this process see all of them or none."""
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
        self.is_shared = True

    def leave(self, *, keeps_numbers: bool) -> None:
        """Go on counting in this process's own memory, from the present numbers or from zero."""
        with self.lock:
            cells, sums = self.numbers() if keeps_numbers else Totals.zero(self.section)
            self.cells, self.sums = cells.tolist(), sums.tolist()
            self.array = np.zeros_like(cells)
            self.is_shared = False
