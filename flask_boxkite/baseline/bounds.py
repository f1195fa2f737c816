"""Bounds of bins and groups: their margin around the data, their form as narrow floats, and the ends of groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MARGIN", "even_groups", "narrow_bounds"]

MARGIN = 1e-6
"""Distance of the outer bounds from the data, as a share of its range (or of the value, where the range is 0)."""


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


def even_groups(bounds: Sequence[float], counts: Sequence[int], groups: int = 10) -> tuple[float, ...]:
    """Merge bins that were given into at most *groups* groups of about equal mass.

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
    for part in range(1, groups):
        nearest = int(np.argmin(np.abs(cumulative - inside * part / groups)))
        if 0 < cumulative[nearest] < inside:
            cuts.add(bounds[nearest])
    return tuple(sorted(cuts))
