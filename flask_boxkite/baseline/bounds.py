"""Bounds of bins and groups: their margin around the data, their form as narrow floats, and the ends of groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MARGIN", "even_groups", "even_runs", "extremes_within", "narrow_bounds", "told_apart"]

_GROUPS = 10
"""Most groups into which given bins, or categories, are merged."""

MARGIN = 1e-6
"""Distance of the outer bounds from the data, as a share of its range (or of the value, where the range is 0)."""


def extremes_within(lowest: float, highest: float, write: Callable[[float], str] = repr) -> tuple[float, float]:
    """Return the smallest and largest value of the data, given the outer bounds, which lie a margin outside.

    Bounds that were given have no margin. They are the data's ends as far as is known, and have the shorter text.

    Args:
        lowest: Lowest bound.
        highest: Highest bound.
        write: Function that writes a value.
    """
    scale = max(abs(lowest), abs(highest))
    if not (math.isfinite(highest - lowest) and 1e-200 < scale < 1e200):
        return lowest, highest
    margin = (highest - lowest) * MARGIN / (1 + 2 * MARGIN)
    digits = 13 - math.ceil(math.log10(scale))  # as many as the error of the subtraction leaves
    inside = round(lowest + margin, digits) + 0.0, round(highest - margin, digits) + 0.0
    smallest, largest = (
        min(pair, key=lambda value: len(write(value))) for pair in zip((lowest, highest), inside, strict=True)
    )
    return smallest, largest


def narrow_bounds(bounds: Sequence[float], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return, for each bound, the largest float of *dtype* whose shortest decimals are at most the bound.

    So comparisons in *dtype* give the same answer as comparisons of those decimals, without converting a value. For
    integers, and floats of 64 bits, the result is the bounds themselves.
    """
    exact = np.asarray(bounds, dtype=np.float64)
    if dtype.kind != "f" or dtype.itemsize >= 8:
        return exact
    with np.errstate(over="ignore"):
        nearest = exact.astype(dtype)
        is_above = nearest.astype(str).astype(np.float64) > exact
        return np.where(is_above, np.nextafter(nearest, dtype.type(-np.inf)), nearest)


def told_apart(bounds: Iterable[float], preferred: Sequence[float]) -> dict[float, float]:
    """Return the bound to use for each bound, so that a float32 lies in every bin.

    Ids and tables carry outputs as float32, so neighbours with none between them become one bound: the one that comes
    first among *preferred*, or else the lowest.

    Args:
        bounds: Upper bounds of bins.
        preferred: Bounds in the order of their importance.

    >>> told_apart([0.25, 0.3, 0.30000000000000004], [0.30000000000000004])
    {0.25: 0.25, 0.3: 0.30000000000000004, 0.30000000000000004: 0.30000000000000004}
    """
    runs: list[list[float]] = []
    for bound in sorted(bounds):
        if runs and _single_below(bound) <= runs[-1][-1]:
            runs[-1].append(bound)
        else:
            runs.append([bound])
    ranks = {bound: rank for rank, bound in enumerate(preferred)}
    chosen = [min(run, key=lambda bound: (ranks.get(bound, len(ranks)), bound)) for run in runs]
    return {bound: choice for run, choice in zip(runs, chosen, strict=True) for bound in run}


def _single_below(bound: float) -> float:
    """Return the largest float32 that is not above a bound; minus infinity if there is none."""
    with np.errstate(over="ignore"):
        single = np.float32(bound)
        return float(single if float(single) <= bound else np.nextafter(single, np.float32(-np.inf)))


def even_groups(bounds: Sequence[float], counts: Sequence[int]) -> tuple[float, ...]:
    """Merge bins that were given into at most ten groups of about equal mass.

    Args:
        bounds: Upper bounds of the bins.
        counts: Rows per bin, one more than bounds.

    Returns:
        The bounds at which groups end; the first is ``-inf`` if training filled the lowest bin, so that no value is
        "below" the training values.
    """
    inside = sum(counts[:-1])
    start = bounds[0] if counts[0] == 0 and len(bounds) > 1 else -math.inf
    cuts = {start, bounds[-1]}
    cumulative = np.cumsum(counts[:-1])
    for part in range(1, _GROUPS):
        nearest = int(np.argmin(np.abs(cumulative - inside * part / _GROUPS)))
        if 0 < cumulative[nearest] < inside:
            cuts.add(bounds[nearest])
    return tuple(sorted(cuts))


def even_runs(counts: Sequence[int]) -> tuple[int, ...]:
    """Join neighbouring categories to at most ten groups of about equal mass; a frequent one has a group of its own.

    Args:
        counts: Rows per category.

    Returns:
        The number of categories in each group.

    >>> even_runs([4, 4, 4, 4, 40, 40, 40, 40, 40, 40, 40, 40, 40])
    (4, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    """
    sizes: list[int] = []
    start, left = 0, sum(counts)
    while start < len(counts):
        groups = _GROUPS - len(sizes)
        stop, rows = start + 1, counts[start]
        while stop < len(counts) and (groups == 1 or _is_nearer(rows, counts[stop], left / groups)):
            if len(counts) - stop < groups:  # each of the others can have its own
                break
            rows += counts[stop]
            stop += 1
        sizes.append(stop - start)
        start, left = stop, left - rows
    return tuple(sizes)


def _is_nearer(rows: int, more: int, goal: float) -> bool:
    """Say whether rows are nearer to a goal with *more* of them."""
    return abs(rows + more - goal) < abs(rows - goal)
