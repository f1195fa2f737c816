"""Choosing bins and counting in them, for one numeric column, in memory or known by its quantiles only.

Every row counts and nothing is sampled: deciles and counts are exact.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.bounds import MARGIN, narrow_bounds
from flask_boxkite.baseline.training.ranking import Ranking
from flask_boxkite.values.conversion import to_number
from flask_boxkite.values.times import FIRST, LAST, whole_microseconds

__all__ = [
    "SHARES",
    "bounds_of_quantiles",
    "choose_bounds",
    "count_bins",
    "distinct_limit",
    "float_width",
    "has_fewer_distinct",
    "rank_of",
]

Values = NDArray[Any]

LARGEST = sys.float_info.max

DECILES = tuple(tenth / 10 for tenth in range(1, 10))
SHARES = (0.0, 0.25, 0.75, 1.0, *DECILES)
"""The quantiles that bounds are chosen from, the smallest and the largest value included."""


def choose_bounds(
    ranking: Ranking, max_bins: int, *, is_time: bool = False
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Choose the bounds of bins and groups for a column, as `bounds_of_quantiles` does, of its finite numbers.

    Args:
        ranking: Of the column, in which at least one number is finite.
        max_bins: The most finite bounds to return, unless the deciles alone are more.
        is_time: Whether the numbers are moments.
    """
    below, above = (int(np.count_nonzero(ranking.values == infinity)) for infinity in (-np.inf, np.inf))
    size = ranking.size - below - above
    values = ranking.at([below + rank_of(share, size) for share in SHARES])
    # The float that its shortest decimals mean; zero unsigned, as labels have it.
    quantiles = {share: to_number(value) + 0.0 for share, value in zip(SHARES, values, strict=True)}
    return bounds_of_quantiles(quantiles.__getitem__, size, max_bins, is_time=is_time)


def bounds_of_quantiles(
    quantile: Callable[[float], float], size: int, max_bins: int, *, is_time: bool = False
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Choose the bounds of bins and groups for a column.

    Always bounds: one just below the smallest value, one just above the largest, and the distinct deciles. Equal-width
    bins of the Freedman-Diaconis or Sturges width, whichever is narrower, fill up to *max_bins*.

    Args:
        quantile: Returns, for each of `SHARES`, the smallest value with at least that share of all at or below it.
        size: How many finite values there are, at least one.
        max_bins: The most finite bounds to return, unless the deciles alone are more.
        is_time: Whether the values are moments: no bound leaves the calendar then, and each can be written.

    Returns:
        The upper bounds of bins, and those of them at which groups end, the first of which is ``-inf`` if no float is
        below the smallest value.
    """
    smallest, largest = quantile(0.0), quantile(1.0)
    low, high = _outer_bounds(smallest, largest)
    if is_time:
        low, high = max(low, min(FIRST, smallest)), min(high, max(LAST, largest))
    deciles = set(map(quantile, DECILES))
    fixed = {low, *deciles, high}
    quartiles = quantile(0.25), quantile(0.75)
    fill = _filling_edges(quartiles, size, low, high, max_bins - len(fixed)) if smallest < largest else set()
    # No group ends at the largest value itself: the one after it could never be filled.
    groups = {low if low < smallest else -math.inf, *(deciles - {largest}), high}
    bounds, ends = tuple(sorted(fixed | fill)), tuple(sorted(groups))
    return (whole_microseconds(bounds), whole_microseconds(ends)) if is_time else (bounds, ends)


def rank_of(share: float, size: int) -> int:
    """Return the 0-based rank, among *size* ascending values, of the first with at least *share* at or below."""
    return max(math.ceil(round(share * size, 9)) - 1, 0)


def _outer_bounds(smallest: float, largest: float) -> tuple[float, float]:
    margin = MARGIN * (largest - smallest if largest > smallest else abs(largest) or 1.0)
    if not math.isfinite(margin):
        margin = LARGEST * MARGIN
    # In a range too narrow for the margin, the next float is far enough.
    low = min(smallest - margin, math.nextafter(smallest, -math.inf))
    high = max(largest + margin, math.nextafter(largest, math.inf))
    return max(low, -LARGEST), min(high, LARGEST)


def _filling_edges(quartiles: tuple[float, float], size: int, low: float, high: float, room: int) -> set[float]:
    q1, q3 = quartiles
    span, spread = high - low, q3 - q1
    widths = (span / (math.log2(size) + 1), 2 * spread / size ** (1 / 3))
    width = min((width for width in widths if width > 0), default=0.0)
    if room <= 0 or width == 0 or not math.isfinite(span):
        return set()
    start, stop, wanted = low, high, span / width - 1
    if wanted > room:
        # Too many for the range: put them where the data is, so that a heavy tail does not take them all.
        wanted = room
        if spread > 0:
            start, stop = max(low, q1 - 1.5 * spread), min(high, q3 + 1.5 * spread)
    number = math.ceil(wanted)
    step = (stop - start) / (number + 1)
    edges = np.linspace(start, stop, number + 2)[1:-1]
    # Bounds are read by people: no more digits than the width of a bin deserves.
    rounded = edges.round(2 - math.floor(math.log10(step))) if 1e-300 < step < 1e300 else edges
    return {float(edge) + 0.0 for edge in rounded if low < edge < high}


def float_width(dtype: np.dtype[Any]) -> int:
    """Return how many bits the floats of a type have; 64 for any other type."""
    return 8 * dtype.itemsize if dtype.kind == "f" and dtype.itemsize < 8 else 64


def count_bins(ranking: Ranking, bounds: Sequence[float]) -> tuple[int, ...]:
    """Count a column of numbers, infinities included, in the bins that *bounds* end."""
    at_most = ranking.at_most(narrow_bounds(bounds, ranking.values.dtype))
    return tuple(np.diff(at_most, prepend=0, append=ranking.size).tolist())


def distinct_limit(rows: int) -> int:
    """Return how many distinct values make a numeric column of *rows* values continuous."""
    return max(3, math.ceil(min(rows, 1000) / 20))


def has_fewer_distinct(ranking: Ranking, limit: int) -> bool:
    """Say whether a column has fewer than *limit* distinct values.

    As a rule a sample tells that it has not. If not, binary search jumps from value to value.
    """
    if len(np.unique(ranking.sample)) >= limit:
        return False
    found = position = 0
    while position < ranking.size and found < limit:
        found += 1
        position = int(np.searchsorted(ranking.ordered, ranking.ordered[position], side="right"))
    return found < limit
