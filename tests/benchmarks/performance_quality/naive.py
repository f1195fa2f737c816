"""Usual tests, beside which the package's stand: positive if outcomes are worse, about normal in large samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.performance.ranking import Ranking

__all__ = ["delong", "score_test", "wald", "welch"]

Floats = NDArray[np.float64]


def wald(wrong: Floats, rows: Floats, trained_wrong: Floats, trained_rows: Floats) -> Floats:
    """Return the difference of two shares over its standard error, from each sample's own share."""
    p, q = wrong / rows, trained_wrong / trained_rows
    return _over(p - q, p * (1 - p) / rows + q * (1 - q) / trained_rows)


def score_test(wrong: Floats, rows: Floats, trained_wrong: Floats, trained_rows: Floats) -> Floats:
    """Return the difference of two shares over its standard error, from the share of both samples together."""
    pooled = (wrong + trained_wrong) / (rows + trained_rows)
    return _over(wrong / rows - trained_wrong / trained_rows, pooled * (1 - pooled) * (1 / rows + 1 / trained_rows))


def delong(live: Ranking, trained: Ranking) -> Floats:
    """Return the fall of the AUC over its standard error, from each sample's own parts."""
    return _over(np.nan_to_num(trained.auc - live.auc), live.variance() + trained.variance())


def welch(sums: Floats, squares: Floats, rows: int, trained_mean: Floats, trained_variance: Floats) -> Floats:
    """Return the difference of two means over its standard error.

    Args:
        sums: Sums of the live values.
        squares: Sums of their squares.
        rows: Number of live values.
        trained_mean: Mean of the validation rows.
        trained_variance: Variance of that mean.
    """
    mean = sums / rows
    return _over(mean - trained_mean, (squares / rows - mean**2) / (rows - 1) + trained_variance)


def _over(difference: Floats, variance: Floats) -> Floats:
    infinite = np.where(difference > 0, np.inf, 0.0)
    return np.where(variance > 0, difference / np.sqrt(np.where(variance > 0, variance, 1.0)), infinite)
