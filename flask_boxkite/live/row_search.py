"""One binary search for a whole row of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowSearch"]


class RowSearch:
    """Finds the cells of a whole row of numbers in one binary search.

    Complex numbers are ordered by their real part, then by their imaginary part. With the variable's index as the real
    part, the bounds of all variables form one sorted array, and each value is compared, exactly, with the bounds of its
    own variable. 30 values take 2 µs, where a search for each takes 4 µs.
    """

    def __init__(self, bounds: Sequence[tuple[float, ...]], offsets: Sequence[int]) -> None:
        # Each variable's bounds are filled up with infinity to its number of cells, so that positions are cells.
        ends = [*offsets[1:], offsets[-1] + len(bounds[-1]) + 3]
        self._bounds = np.array(
            [
                complex(index, bound)
                for index, (column, start, end) in enumerate(zip(bounds, offsets, ends, strict=True))
                for bound in (*column, *[math.inf] * (end - start - len(column)))
            ]
        )
        self._keys = np.arange(len(bounds), dtype=np.complex128)
        self._first = offsets[0]

    def __call__(self, packed: bytes) -> NDArray[np.intp]:
        """Return the cells of a row of float64."""
        keys = self._keys.copy()
        keys.imag = np.frombuffer(packed, "<f8")  # four times as fast as np.array(row)
        cells = self._bounds.searchsorted(keys)
        return cells + self._first if self._first else cells
