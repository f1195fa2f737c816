"""Numbers of a stream, counted by their leading bits in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.training.ranges import Counts, Floats, NumericColumn, Ranges

__all__ = ["LeadingBits"]


class LeadingBits:
    """The numbers of a column, counted by their leading bits.

    At first all bits count, so that every distinct number is known. While there are more than *most* distinct ones, one
    bit less counts.

    Args:
        most: Most ranges of numbers with the same leading bits.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lows: Floats = np.empty(0)
        self._highs: Floats = np.empty(0)
        self._counts: Counts = np.empty(0, dtype=np.int64)
        self._dropped_bits = 0
        self._dtypes: set[np.dtype[Any]] = set()
        self._below = self._above = 0

    @property
    def rows(self) -> int:
        """All numbers, infinities included."""
        return int(self._counts.sum()) + self._below + self._above

    def add(self, values: NDArray[Any]) -> None:
        """Count numbers without NaN."""
        self._dtypes.add(values.dtype)
        distinct, counts = np.unique(values.astype(np.float64) + 0.0, return_counts=True)

        if distinct[0] == -np.inf:
            self._below += int(counts[0])
            distinct, counts = distinct[1:], counts[1:]
        if len(distinct) and distinct[-1] == np.inf:
            self._above += int(counts[-1])
            distinct, counts = distinct[:-1], counts[:-1]

        lows, highs = np.concatenate((self._lows, distinct)), np.concatenate((self._highs, distinct))
        order = np.argsort(lows, kind="stable")
        self._lows, self._highs = lows[order], highs[order]
        self._counts = np.concatenate((self._counts, counts))[order]
        self._condense()

    def _condense(self) -> None:
        """Merge numbers with the same leading bits, with as many bits as the limit allows."""
        bits = _ordered_bits(self._lows)
        while True:
            starts = np.flatnonzero(np.diff(bits >> self._dropped_bits, prepend=np.iinfo(np.int64).min))
            if len(starts) <= self._most:
                break
            self._dropped_bits += 1
        if len(starts):
            self._lows = self._lows[starts]
            self._highs = np.maximum.reduceat(self._highs, starts)
            self._counts = np.add.reduceat(self._counts, starts)

    def result(self, *, missing: int, invalid: int, is_time: bool) -> NumericColumn:
        """Return the counts of all numbers."""
        ranges = Ranges(self._lows, self._highs, self._counts, self.dtype)
        return NumericColumn(ranges, self._below, self._above, missing, invalid, is_time)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that holds all numbers, if it is a float type; else float64."""
        common = np.result_type(*self._dtypes) if self._dtypes else np.dtype(np.float64)
        return common if common.kind == "f" else np.dtype(np.float64)


def _ordered_bits(values: Floats) -> NDArray[np.int64]:
    """Return integers in the order of the floats, which differ by one for neighbouring floats."""
    bits = values.view(np.int64)
    return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)
