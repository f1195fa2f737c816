"""The surprisal of a feature's cells, by which the rarity of a row is measured (`derived.row`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.distribution import Continuous, Distribution
from flask_boxkite.naming import MISSING

__all__ = ["missing_cells", "surprisals", "surprisals_of"]

Floats = NDArray[np.float64]


def surprisals_of(item: Distribution, *, without: int = 0) -> Floats:
    """Return -ln(p / w) of each cell of a feature, shape (cells,).

    p is (c + 1/2) / (N + K/2) for c of N training rows in a cell, of K cells. w is the width of a bin as a share of the
    training range, because the bins of a feature have about equal shares where it has many values; and 1 of any other
    cell, also below and above all bins.

    Args:
        item: Distribution of the feature.
        without: Number of rows to take from each cell first: 1 for a training row's own surprisal.
    """
    counts = np.maximum(np.array(item.cells, dtype=np.float64) - without, 0)
    rows = max(item.rows - without, 0)
    return -np.log((counts + 0.5) / (rows + 0.5 * len(counts))) + np.log(_widths(item))


def _widths(item: Distribution) -> Floats:
    widths = np.ones(len(item.cells))
    if isinstance(item, Continuous):
        bounds = np.array(item.upper_bounds) / 2  # halves, because the range of floats is twice as wide as a float
        inner = np.diff(bounds) / max(bounds[-1] - bounds[0], np.finfo(np.float64).tiny)
        widths[1 : len(bounds)] = np.maximum(inner, np.finfo(np.float64).tiny)
    return widths


def surprisals(features: Sequence[Distribution]) -> Floats:
    """Return the surprisals of the cells of some features, one feature after the other."""
    return np.concatenate([surprisals_of(item) for item in features]) if features else np.empty(0)


def missing_cells(features: Sequence[Distribution]) -> NDArray[np.bool_]:
    """Return whether each cell of some features is of missing values, in the same order."""
    flags: list[bool] = []
    for item in features:
        for group in item.groups:
            flags += [group.name == MISSING] * (group.stop - group.start)
    return np.array(flags, dtype=bool)
