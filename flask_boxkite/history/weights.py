"""Weights of days: how much the rows of a day count if they are more alike than on other days.

The dispersion between days allows for rows that are alike, but only as alike as on most days. One batch of five hundred
equal rows would be a change. So a day on which rows recur, or come in fewer requests, more than on the median day
counts for less, by that factor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.recurrence import at_least, recurrence
from flask_boxkite.drift.scan import MINIMUM_ROWS, requests_of
from flask_boxkite.drift.timeline import RowCounts

__all__ = ["weights_of"]


def weights_of(rows: RowCounts, collisions: float | None) -> NDArray[np.float64]:
    """Return the weight of each day, shape (days,), in (0, 1].

    A day's rows count h times less, its recurrence; with few requests, its rows by request if that is more. The weight
    is the median of h over h.

    Args:
        rows: Counts of whole rows of each day.
        collisions: Probability that two training rows are equal; None if it is unknown.
    """
    if not len(rows.squares):
        return np.ones(0)
    total, requests = rows.buckets.sum(axis=1), requests_of(rows)
    alike = at_least(recurrence(rows.buckets, collisions))
    by_request = np.where(requests < MINIMUM_ROWS, total / requests, 1.0)
    alike = np.maximum(alike, np.maximum(by_request, 1.0))
    weights: NDArray[np.float64] = np.minimum(np.median(alike) / alike, 1.0)
    return weights
