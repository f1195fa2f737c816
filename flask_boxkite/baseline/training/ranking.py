"""Ranks of a column's numbers, computed only where needed, which is much less work than sorting the column.

A function that never falls puts each number into one of a few thousand buckets, so buckets are in the order of their
numbers. The number at a rank, and the count of numbers up to a bound, need one bucket each, and only those buckets are
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

BUCKETS = 4096
SAMPLE = 4096
SMALL = 4 * SAMPLE

OUTSIDE = 0.02
"""Share of the sample on each side that gets only one bucket."""


class Ranking:
    """Answers questions about the order of numbers.

    Args:
        values: Numbers without NaN, in any order, infinities included.
        smallest: Least number of numbers for buckets; fewer are sorted at once.
        sample_size: Approximate size of the sample that shows where most numbers are; the buckets lie there.
    """

    def __init__(self, values: Values, *, smallest: int = SMALL, sample_size: int = SAMPLE) -> None:
        self.values = values
        self._sample_size = sample_size
        self._scale = None if len(values) < smallest else _buckets_for(self.sample)
        self._buckets = None if self._scale is None else self._buckets_of(values)
        counts = [len(values)] if self._buckets is None else np.bincount(self._buckets, minlength=BUCKETS)
        self._starts = np.concatenate(([0], np.cumsum(counts)))

    @property
    def size(self) -> int:
        """The count of numbers."""
        return len(self.values)

    @cached_property
    def sample(self) -> Values:
        """Some of the numbers, from all over the column."""
        return self.values[:: max(len(self.values) // self._sample_size, 1)]

    @cached_property
    def ordered(self) -> Values:
        """All numbers, ascending."""
        return np.sort(self.values)

    def at(self, ranks: Sequence[int]) -> Values:
        """Return the numbers with these 0-based ranks in ascending order."""
        buckets = np.searchsorted(self._starts, ranks, side="right") - 1
        ordered, starts = self._sorted_in(buckets)
        numbers: Values = ordered[starts + ranks - self._starts[buckets]]
        return numbers

    def at_most(self, bounds: Values) -> NDArray[np.int64]:
        """Return the count of numbers up to each bound."""
        buckets = np.zeros(len(bounds), dtype=np.intp) if self._buckets is None else self._buckets_of(bounds)
        ordered, starts = self._sorted_in(buckets)
        counts: NDArray[np.int64] = self._starts[buckets] + np.searchsorted(ordered, bounds, side="right") - starts
        return counts

    def _buckets_of(self, values: Values) -> NDArray[np.int16]:
        """Return the bucket of each number; even with rounding, the function never falls."""
        assert self._scale is not None
        low, scale = self._scale
        with np.errstate(over="ignore"):
            position = np.subtract(values, low, dtype=np.float64)
            position *= scale
        return np.clip(position, 0, BUCKETS - 1, out=position).astype(np.int16)

    def _sorted_in(self, buckets: NDArray[Any]) -> tuple[Values, NDArray[np.int64]]:
        """Return all numbers of these buckets, sorted, and the index at which each bucket begins."""
        if self._buckets is None:
            return self.ordered, np.zeros(len(buckets), dtype=np.int64)
        needed = np.unique(buckets)
        is_needed = np.zeros(BUCKETS, dtype=bool)
        is_needed[needed] = True
        ordered = np.sort(self.values[is_needed[self._buckets]])
        sizes = self._starts[needed + 1] - self._starts[needed]
        starts = np.cumsum(sizes) - sizes
        return ordered, starts[np.searchsorted(needed, buckets)]


def _buckets_for(sample: Values) -> tuple[float, float] | None:
    """Return the beginning of the buckets and their number per unit; None if buckets are of no use."""
    sample = np.sort(sample.astype(np.float64))
    outside = int(OUTSIDE * len(sample))
    low, high = float(sample[outside]), float(sample[-1 - outside])
    with np.errstate(all="ignore"):
        scale = float(np.float64(BUCKETS - 2) / np.float64(high - low))
        start = float(low - np.float64(1) / scale)
    # The numbers are infinite or equal, or too close or far for a number of buckets.
    return (start, scale) if np.isfinite([start, scale]).all() and scale > 0 else None
