"""The increments of a prediction: the cells to raise and the sums to add to, gathered before they are counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.compiled import native

__all__ = ["Increments"]


class Increments:
    """The increments of one prediction: cells to raise by one, or, for a batch, a block of counts; and sums.

    Attributes:
        cells: Cells to raise by one, possibly several times.
        amounts: Pairs of a cell and the amount to add to it.
        wide: More cells to raise by one, each once, as an array for a wide row; None for no more.
        block: Counts to add to the first cells, or None.
        ranges: Pairs of a first cell, and of counts to add to the cells from there on.
        sums: Pairs of an index and the amount to add to that sum.
    """

    __slots__ = ("amounts", "block", "cells", "ranges", "sums", "wide")

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
        self.ranges: list[tuple[int, NDArray[np.int64]]] = []
        self.sums: list[tuple[int, float]] = []

    def raise_cell(self, cell: int) -> None:
        """Raise a cell by one."""
        self.cells.append(cell)

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

    def note_located(self, located: NDArray[np.int32]) -> None:
        """Note the cells of several rows, shape (rows, variables)."""

    @property
    def listed_cells(self) -> int:
        """The number of cells in the list."""
        return len(self.cells)

    def add_block(self, block: NDArray[np.int64]) -> None:
        """Add counts to the first cells; the array may become a part of the increments."""
        if self.block is None:
            self.block = block
        else:
            self.block += block


if native is not None:
    Increments = native.Increments  # type: ignore[misc]
