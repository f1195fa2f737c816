"""Counting numbers of many columns in their bins at once, without searching.

A binary search is slow because the processor cannot predict its comparisons. So a grid divides each column's range into
slots of equal width, eight per bound. A multiplication and an addition find the slot of a value, and a table gives the
highest bin that begins in or before the slot. From there, the value steps down while it is not above its bin's lower
bound. Few values step at all, and hardly any twice.

The answer is exact although the arithmetic is rounded. Rounding never reverses an order, so a bound below a value is
never in a later slot than the value; and the steps compare with the bounds themselves.

A value takes about 6 ns, where `numpy.searchsorted` takes about 30. A grid keeps 1 MB of constants, and about 64 bytes
for each bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Grid", "GridColumn"]

CELLS_PER_BOUND = 8
"""More slots would outgrow the processor's caches, fewer would leave more values to step."""

MAX_CROWD = 4
"""Most bounds in one slot: with more, as when bounds are spaced by factors, a search is as fast as steps."""

CHUNK_VALUES = 32_768
"""Values counted at a time, few enough to stay, with their intermediate results, in the processor's caches."""

_Floats: TypeAlias = "NDArray[np.float64]"


class GridColumn(NamedTuple):
    """A column to count.

    Attributes:
        position: Index of the column in the rows.
        bounds: Upper bounds of its bins, ascending; two may be equal as narrow floats.
        offset: First cell of the column: one for each bin, then one above all bounds, then one for missing values.
    """

    position: int
    bounds: _Floats
    offset: int


class _Layout(NamedTuple):
    """Slots of the values of columns: ``value * scale + shift``, no less than *first* and no more than *last*."""

    scale: _Floats | float
    shift: _Floats | float
    first: _Floats | float
    last: _Floats | float

    def locate(self, values: _Floats) -> NDArray[np.int32]:
        """Return the slots of values; NaN falls into the last slot of its column."""
        slots = values * self.scale
        slots += self.shift
        np.maximum(slots, self.first, out=slots)
        np.fmin(slots, self.last, out=slots)
        return slots.astype(np.int32)  # half the time of 64 bits


class Grid:
    """Counts rows of numbers. A grid never changes once made, so any thread may use it.

    NumPy may warn of overflow and NaN while a grid is made and used; both are expected.

    Args:
        columns: Columns to count. A column whose bounds are too crowded for a grid is left out.
        size: Number of cells of the whole model.

    Attributes:
        positions: Indices in the rows of the columns that are counted.
    """

    def __init__(self, columns: Sequence[GridColumn], size: int) -> None:
        self._size = size
        # A value steps down while it is at or below this; NaN stops it, because every comparison with NaN is false.
        self._lower = np.full(size, math.nan)
        layouts: list[_Layout] = []
        tables: list[NDArray[np.intp]] = []
        self._pick: list[int] = []
        start = 0

        for column in columns:
            layout = _lay_out(column.bounds, start)
            # Missing values are counted as above infinity.
            ends = np.append(column.bounds, math.inf)
            if layout is None or (table := _bounds_up_to(layout, ends)) is None:
                continue
            self._lower[column.offset + 1 : column.offset + 1 + len(ends)] = ends
            self._pick.append(column.position)
            layouts.append(layout)
            tables.append(table + column.offset)
            start += len(table)
        self.positions = frozenset(self._pick)
        self._highest = np.concatenate([np.empty(0, dtype=np.intp), *tables])
        self._rows = max(1, CHUNK_VALUES // max(1, len(layouts)))
        # Repeated for each row of a chunk: NumPy is twice as fast with one long row as with many short ones.
        self._constants = np.tile(np.array(layouts).reshape(-1, len(_Layout._fields)).T, self._rows)

    def count(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Return the number of values in each cell of the model.

        Args:
            rows: Numbers, shape (rows, columns), of any type and order in memory.
        """
        counts = np.zeros(self._size, dtype=np.int64)
        pick = slice(None) if len(self._pick) == rows.shape[1] else self._pick
        for start in range(0, len(rows), self._rows):
            chunk = rows[start : start + self._rows, pick]
            cells = self._locate(np.ascontiguousarray(chunk, dtype=np.float64).reshape(-1))
            counts += np.bincount(cells, minlength=self._size)
        return counts

    def _locate(self, values: _Floats) -> NDArray[np.intp]:
        """Return the cells of values that come row by row."""
        layout = _Layout(*self._constants[:, : len(values)])
        cells = self._highest.take(layout.locate(values))
        high = np.flatnonzero(values <= self._lower.take(cells))
        values, lowered = values.take(high), cells.take(high)
        while high.size:
            lowered -= 1
            cells[high] = lowered
            still = np.flatnonzero(values <= self._lower.take(lowered))
            high, values, lowered = high.take(still), values.take(still), lowered.take(still)
        return cells


def _lay_out(bounds: _Floats, start: int) -> _Layout | None:
    """Return a layout of slots from number *start* on; None if its arithmetic would overflow."""
    # The outer bounds may be outliers, so they share a slot with their neighbours.
    inner = bounds[1:-1] if len(bounds) > 3 else bounds
    low, high = float(inner[0]), float(inner[-1])
    cells = CELLS_PER_BOUND * len(bounds)
    scale = (cells - 2) / (high - low) if high > low else 1.0
    shift = start + 0.5 - low * scale
    if not (0 < scale < math.inf and math.isfinite(shift)):
        return None
    return _Layout(scale, shift, float(start), float(start + cells - 1))


def _bounds_up_to(layout: _Layout, ends: _Floats) -> NDArray[np.intp] | None:
    """Return, for each slot, the number of bounds in it or before it; None if a slot is crowded."""
    first, last = int(layout.first), int(layout.last)
    bounds_in = np.bincount(layout.locate(ends) - first, minlength=last - first + 1)
    return None if bounds_in.max() > MAX_CROWD else np.cumsum(bounds_in, dtype=np.intp)
