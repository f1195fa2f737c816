"""Ranks of a column's numbers, computed only where needed, which is much less work than sorting the column.

A function that never falls puts each number into one of a few thousand cells, so cells are in the order of their
numbers. The number at a rank, and the count of numbers up to a bound, need one cell each, and only those cells are
sorted. For a million float64, quantiles and the counts of 50 bins take 10 to 20 ms so, where sorting takes 50; the
answers are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ranking"]

Values = NDArray[Any]

CELLS = 4096
SAMPLE = 4096
"""Approximate size of the sample that shows where most numbers are; the cells lie there."""

SMALL = 4 * SAMPLE
"""Least number of numbers for cells; fewer are sorted at once."""

OUTSIDE = 0.02
"""Share of the sample on each side that gets only one cell."""


class Ranking:
    """Answers questions about the order of numbers.

    Args:
        values: Numbers without NaN, in any order, infinities included.
    """

    def __init__(self, values: Values) -> None:
        self.values = values
        self._place = _place_cells(values)
        self._cells = None if self._place is None else self._cells_of(values)
        counts = [len(values)] if self._cells is None else np.bincount(self._cells, minlength=CELLS)
        self._starts = np.concatenate(([0], np.cumsum(counts)))

    @property
    def size(self) -> int:
        """The count of numbers."""
        return len(self.values)

    @cached_property
    def sample(self) -> Values:
        """Some of the numbers, from all over the column."""
        return _sample(self.values)

    @cached_property
    def ordered(self) -> Values:
        """All numbers, ascending."""
        return np.sort(self.values)

    def at(self, ranks: Sequence[int]) -> Values:
        """Return the numbers with these 0-based ranks in ascending order."""
        cells = np.searchsorted(self._starts, ranks, side="right") - 1
        ordered, starts = self._sorted_in(cells)
        found: Values = ordered[starts + ranks - self._starts[cells]]
        return found

    def at_most(self, bounds: Values) -> NDArray[np.int64]:
        """Return the count of numbers up to each bound."""
        cells = np.zeros(len(bounds), dtype=np.intp) if self._cells is None else self._cells_of(bounds)
        ordered, starts = self._sorted_in(cells)
        found: NDArray[np.int64] = self._starts[cells] + np.searchsorted(ordered, bounds, side="right") - starts
        return found

    def _cells_of(self, values: Values) -> NDArray[np.int16]:
        """Return the cell of each number; even with rounding, the function never falls."""
        assert self._place is not None
        low, scale = self._place
        with np.errstate(over="ignore"):
            place = np.subtract(values, low, dtype=np.float64)
            place *= scale
        return np.clip(place, 0, CELLS - 1, out=place).astype(np.int16)

    def _sorted_in(self, cells: NDArray[Any]) -> tuple[Values, NDArray[np.int64]]:
        """Return all numbers of these cells, sorted, and the index at which each cell begins."""
        if self._cells is None:
            return self.ordered, np.zeros(len(cells), dtype=np.int64)
        asked = np.unique(cells)
        is_asked = np.zeros(CELLS, dtype=bool)
        is_asked[asked] = True
        ordered = np.sort(self.values[is_asked[self._cells]])
        sizes = self._starts[asked + 1] - self._starts[asked]
        starts = np.cumsum(sizes) - sizes
        return ordered, starts[np.searchsorted(asked, cells)]


def _sample(values: Values) -> Values:
    return values[:: max(len(values) // SAMPLE, 1)]


def _place_cells(values: Values) -> tuple[float, float] | None:
    """Return the beginning of the cells and their number per unit; None if cells are of no use."""
    if len(values) < SMALL:
        return None
    sample = np.sort(_sample(values).astype(np.float64))
    outside = int(OUTSIDE * len(sample))
    low, high = float(sample[outside]), float(sample[-1 - outside])
    with np.errstate(all="ignore"):
        scale = float(np.float64(CELLS - 2) / np.float64(high - low))
        start = float(low - np.float64(1) / scale)
    # The numbers are infinite or equal, or too close or far for a number of cells.
    return (start, scale) if np.isfinite([start, scale]).all() and scale > 0 else None
