"""The choice of bins and the counting in them, for a numeric column in memory or known by its quantiles.

All rows count, without sampling: deciles and counts are exact.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.bounds import MARGIN, narrow_bounds, told_apart
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
"""Quantiles from which bounds are chosen, with the smallest and the largest value."""


def choose_bounds(
    ranking: Ranking, max_bins: int, *, is_time: bool = False, edges: Sequence[float] = ()
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Choose the bounds of bins and groups for a column's finite numbers, as `bounds_of_quantiles` does.

    Args:
        ranking: Ranking of the column, with at least one finite number.
        max_bins: Most finite bounds to return, unless the deciles alone are more.
        is_time: Whether the numbers are moments.
        edges: Bounds that are wanted, the most important first.
    """
    below, above = (int(np.count_nonzero(ranking.values == infinity)) for infinity in (-np.inf, np.inf))
    size = ranking.size - below - above
    values = ranking.at([below + rank_of(share, size) for share in SHARES])
    # The float of the shortest decimals, with unsigned zero, as in labels.
    quantiles = {share: to_number(value) + 0.0 for share, value in zip(SHARES, values, strict=True)}
    return bounds_of_quantiles(quantiles.__getitem__, size, max_bins, is_time=is_time, edges=edges)


def bounds_of_quantiles(
    quantile: Callable[[float], float],
    size: int,
    max_bins: int,
    *,
    is_time: bool = False,
    edges: Sequence[float] = (),
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Choose the bounds of bins and groups for a column.

    These are always bounds: one just below the smallest value, one just above the largest, and the distinct deciles.
    Equal-width bins of the Freedman-Diaconis or Sturges width, the narrower of both, fill up to *max_bins*.

    Args:
        quantile: Returns, for each of `SHARES`, the smallest value with at least this share of all at or below it.
        size: Number of finite values, at least one.
        max_bins: Most finite bounds to return, unless the deciles alone are more.
        is_time: Whether the values are moments: then no bound leaves the calendar, and each can be written.
        edges: Bounds that are wanted, the most important first. They replace the bounds of equal width, and may lie
            outside of the values. A float32 then lies in every bin (`bounds.told_apart`).

    Returns:
        The upper bounds of bins, and the ones at which groups end; the first end is ``-inf`` if no float is below the
        smallest value.
    """
    smallest, largest = quantile(0.0), quantile(1.0)
    low, high = _outer_bounds(smallest, largest)
    if is_time:
        low, high = max(low, min(FIRST, smallest)), min(high, max(LAST, largest))
    deciles = set(map(quantile, DECILES))
    fixed = {low, *deciles, high}
    quartiles = quantile(0.25), quantile(0.75)
    fill = set(edges)
    if not fill and smallest < largest:
        fill = _filling_edges(quartiles, size, low, high, max_bins - len(fixed))

    # No group ends at the largest value itself, because the next group could never be filled.
    groups = {low if low < smallest else -math.inf, *(deciles - {largest}), high}
    wanted = fixed | fill
    if edges:
        used = told_apart(wanted, edges)
        wanted, groups = set(used.values()), {used.get(end, end) for end in groups}
    bounds, ends = tuple(sorted(wanted)), tuple(sorted(groups))
    return (whole_microseconds(bounds), whole_microseconds(ends)) if is_time else (bounds, ends)


def rank_of(share: float, size: int) -> int:
    """Return the 0-based rank, among *size* ascending values, of the first with at least *share* at or below."""
    return max(math.ceil(round(share * size, 9)) - 1, 0)


def _outer_bounds(smallest: float, largest: float) -> tuple[float, float]:
    margin = MARGIN * (largest - smallest if largest > smallest else abs(largest) or 1.0)
    if not math.isfinite(margin):
        margin = LARGEST * MARGIN
    # If the range is too narrow for the margin, the next float is far enough.
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
        # With too many bins for the range, they lie where the data is, so that a heavy tail does not take them all.
        wanted = room
        if spread > 0:
            start, stop = max(low, q1 - 1.5 * spread), min(high, q3 + 1.5 * spread)

    number = math.ceil(wanted)
    step = (stop - start) / (number + 1)
    edges = np.linspace(start, stop, number + 2)[1:-1]
    # People read bounds, so they have no more digits than the width of a bin needs.
    rounded = edges.round(2 - math.floor(math.log10(step))) if 1e-300 < step < 1e300 else edges
    return {float(edge) + 0.0 for edge in rounded if low < edge < high}


def float_width(dtype: np.dtype[Any]) -> int:
    """Return the bits of a type's floats; 64 for any other type."""
    return 8 * dtype.itemsize if dtype.kind == "f" and dtype.itemsize < 8 else 64


def count_bins(ranking: Ranking, bounds: Sequence[float]) -> tuple[int, ...]:
    """Count a column of numbers, infinities included, in the bins that *bounds* end."""
    at_most = ranking.at_most(narrow_bounds(bounds, ranking.values.dtype))
    return tuple(np.diff(at_most, prepend=0, append=ranking.size).tolist())


def distinct_limit(rows: int) -> int:
    """Return the number of distinct values from which a numeric column of *rows* values is continuous."""
    return max(3, math.ceil(min(rows, 1000) / 20))


def has_fewer_distinct(ranking: Ranking, limit: int) -> bool:
    """Say whether a column has fewer than *limit* distinct values.

    Usually a sample shows that it has more. Otherwise a binary search jumps from value to value.
    """
    if len(np.unique(ranking.sample)) >= limit:
        return False
    distinct = position = 0
    while position < ranking.size and distinct < limit:
        distinct += 1
        position = int(np.searchsorted(ranking.ordered, ranking.ordered[position], side="right"))
    return distinct < limit
