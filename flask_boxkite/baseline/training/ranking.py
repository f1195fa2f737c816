"""The order of a column's numbers, as far as somebody asks for it: much less work than sorting all of them.

A function that never falls puts each number into one of a few thousand cells, so cells are in the order of their
numbers. The number at a rank, and how many are at most a bound, are each a matter of one cell, and only the cells that
are asked for are sorted. Of a million float64, quantiles and the counts of 50 bins take 10 to 20 ms so, where sorting
takes 50, and the answers are the same to the last bit.
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
"""About so many numbers tell where most of a column are, which is where the cells are."""

SMALL = 4 * SAMPLE
"""Fewer numbers are sorted at once."""

OUTSIDE = 0.02
"""The share of the sample on each side for which one cell will do."""


class Ranking:
    """Answers questions about the order of numbers.

    Args:
        values: Without NaN, in any order; infinities may be among them.
    """

    def __init__(self, values: Values) -> None:
        self.values = values
        self._place = _place_cells(values)
        self._cells = None if self._place is None else self._cells_of(values)
        counts = [len(values)] if self._cells is None else np.bincount(self._cells, minlength=CELLS)
        self._starts = np.concatenate(([0], np.cumsum(counts)))

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self.values)

    @cached_property
    def sample(self) -> Values:
        """Some of the numbers, from all over the column."""
        return _sample(self.values)

    @cached_property
    def ordered(self) -> Values:
        """All of them, ascending."""
        return np.sort(self.values)

    def at(self, ranks: Sequence[int]) -> Values:
        """Return the numbers that would have these 0-based ranks if all were sorted."""
        cells = np.searchsorted(self._starts, ranks, side="right") - 1
        ordered, starts = self._sorted_in(cells)
        found: Values = ordered[starts + ranks - self._starts[cells]]
        return found

    def at_most(self, bounds: Values) -> NDArray[np.int64]:
        """Return, for each bound, how many numbers are at most that."""
        cells = np.zeros(len(bounds), dtype=np.intp) if self._cells is None else self._cells_of(bounds)
        ordered, starts = self._sorted_in(cells)
        found: NDArray[np.int64] = self._starts[cells] + np.searchsorted(ordered, bounds, side="right") - starts
        return found

    def _cells_of(self, values: Values) -> NDArray[np.int16]:
        """Return the cell of each number: rounding, too, never lets the function fall."""
        assert self._place is not None
        low, scale = self._place
        with np.errstate(over="ignore"):
            place = np.subtract(values, low, dtype=np.float64)
            place *= scale
        return np.clip(place, 0, CELLS - 1, out=place).astype(np.int16)

    def _sorted_in(self, cells: NDArray[Any]) -> tuple[Values, NDArray[np.int64]]:
        """Return all numbers of these cells, sorted, and for each cell where its own begin."""
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
    """Return where the cells begin and how many there are to 1; None if cells would be of no use."""
    if len(values) < SMALL:
        return None
    sample = np.sort(_sample(values).astype(np.float64))
    outside = int(OUTSIDE * len(sample))
    low, high = float(sample[outside]), float(sample[-1 - outside])
    with np.errstate(all="ignore"):
        scale = float(np.float64(CELLS - 2) / np.float64(high - low))
        start = float(low - np.float64(1) / scale)
    # Infinite or equal numbers, or so close or far that no number of cells can be had.
    return (start, scale) if np.isfinite([start, scale]).all() and scale > 0 else None
