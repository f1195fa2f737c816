"""Bounds of bins and groups: how far they lie outside the data, in narrower floats, and where groups of bins end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MARGIN", "even_groups", "narrow_bounds"]

MARGIN = 1e-6
"""How far the outer bounds lie outside the data, as a share of its range (or of the value, where that is 0)."""


def narrow_bounds(bounds: Sequence[float], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return, for each bound, the largest float of *dtype* whose shortest decimals are at most the bound.

    So comparing in *dtype* gives the same answer as comparing those decimals, without converting a single value. For
    integers, and floats of 64 bits, these are the bounds themselves.
    """
    exact = np.asarray(bounds, dtype=np.float64)
    if dtype.kind != "f" or dtype.itemsize >= 8:
        return exact
    with np.errstate(over="ignore"):
        nearest = exact.astype(dtype)
        is_above = nearest.astype(str).astype(np.float64) > exact
        return np.where(is_above, np.nextafter(nearest, dtype.type(-np.inf)), nearest)


def even_groups(bounds: Sequence[float], counts: Sequence[int], groups: int = 10) -> tuple[float, ...]:
    """Merge given bins into at most *groups* of about equal mass, for bounds that were not chosen here.

    Args:
        bounds: Upper bounds of the bins.
        counts: Rows per bin, one more than bounds.

    Returns:
        The bounds at which groups end; the first is ``-inf`` if training filled the lowest bin, so that nothing is
        "below" what training saw.
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
