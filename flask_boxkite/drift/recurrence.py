"""Recurrence of rows, measured by counting equal rows.

Tests for drift take rows for independent. But returning users, retries and repeated requests send the same row again,
so a few events look like many. Each row is counted in one of 256 buckets, by a hash of its values. Independent rows
meet in a bucket by chance; rows that meet more often have come before. Training tells how often rows are equal by
chance, as in a model of three yes-or-no features.

Recurrence is unknown where chance alone makes many rows equal, and where a single row makes up most of the equal rows
(an empty request, a failed join, a probe): then equal rows prove no repeats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.values.rowhash import ROW_BUCKETS

__all__ = [
    "ERROR",
    "LEAST_NEIGHBOURS",
    "MOST_BY_CHANCE",
    "NOTICEABLE",
    "at_least",
    "equal_rows",
    "recurrence",
    "recurrence_within",
    "usual_recurrence",
]

MOST_BY_CHANCE = 0.5
"""Most equal rows that a row may meet by chance for recurrence to be known."""

ERROR = (2 / (ROW_BUCKETS - 1)) ** 0.5
"""Standard deviation of recurrence, as a share of it: 0.09."""

NOTICEABLE = 1.3
"""Recurrence above which it is not noise: 1, where all rows differ, and three standard deviations."""


LEAST_NEIGHBOURS = 3
"""Least number of neighbouring slots for `usual_recurrence`."""


def recurrence(buckets: NDArray[np.int64], collisions: float | None) -> NDArray[np.float64]:
    """Return how many times each row has come, on average over rows; NaN if unknown.

    h = (B·Σb²/n - n)/(B - 1) with b of n rows in each of B buckets. It is 1 if all rows differ (with a standard
    deviation of 0.09), and r if each row has come r times, for all n: n rows count for n/h independent ones. The
    result is h less n times the probability that two rows are equal by chance, which makes it unbiased for models whose
    rows are equal now and then. Range [1, inf). Without rows it is 1.

    It is NaN if a row meets more than `MOST_BY_CHANCE` others by chance; if that probability is unknown, if any rows
    recur. It is NaN too if h would be less than half without the fullest bucket: then only one row recurs.

    Args:
        buckets: Rows per bucket, shape (stretches, B).
        collisions: Probability that two training rows are equal; None if it is unknown.

    References:
        Simpson, Measurement of Diversity, 1949 (equal pairs); Kish, Survey Sampling, 1965 (design effect).
    """
    b = np.asarray(buckets, dtype=np.float64)
    fullest = b.max(axis=-1)
    equal = equal_rows(buckets)
    of_others = _equal_rows(b.sum(axis=-1) - fullest, (b * b).sum(axis=-1) - fullest**2, ROW_BUCKETS - 1)
    is_one_row = (equal > NOTICEABLE) & (equal > 2 * of_others)
    if collisions is None:
        return np.where(is_one_row | (equal > NOTICEABLE), np.nan, equal)
    by_chance = b.sum(axis=-1) * collisions
    return np.where(is_one_row | (by_chance > MOST_BY_CHANCE), np.nan, np.maximum(equal - by_chance, 1.0))


def at_least(recurring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return *recurring* less its `ERROR`, at least 1; 1 for NaN.

    Otherwise rows that all differ would half of the time count for fewer rows, and small changes would be overlooked.
    """
    lowered: NDArray[np.float64] = np.fmax(recurring * (1 - ERROR), 1.0)
    return lowered


def recurrence_within(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many times each row has come within its part of a stretch, beyond its rate in other parts.

    1 + (w - x)·(m - 1). Two rows are equal with probability w in the same part and x in different parts; m is the
    number of rows of a part (its mean over rows). So it is 1 if a few different rows come at all times, as after a
    fault, and r if each row is sent r times in a short while, even if equal rows are likely. Range [1, inf).

    Args:
        parts: Rows per bucket of each part, shape (..., parts, B).
    """
    rows, whole = parts.sum(axis=-1), parts.sum(axis=-2)
    total = rows.sum(axis=-1)
    pairs_within, pairs_across = (rows * (rows - 1)).sum(axis=-1), total**2 - (rows**2).sum(axis=-1)
    equal_within = (parts * (parts - 1)).sum(axis=(-2, -1)) / np.maximum(pairs_within, 1.0)
    equal_across = ((whole**2).sum(axis=-1) - (parts**2).sum(axis=(-2, -1))) / np.maximum(pairs_across, 1.0)
    # Both probabilities include the chance 1/B that different rows share a bucket; the difference does not.
    excess = (equal_within - equal_across) / (1 - 1 / parts.shape[-1]) * pairs_within / np.maximum(total, 1.0)
    return np.where(pairs_across > 0, np.maximum(1.0 + excess, 1.0), 1.0)


def usual_recurrence(slots: NDArray[np.float64]) -> float:
    """Return how many times rows usually come within a slot: the median over neighbours; 1 with fewer than three.

    Args:
        slots: Rows per bucket of each slot, shape (slots, B).
    """
    pairs = np.stack([slots[:-1], slots[1:]], axis=1)
    pairs = pairs[(pairs.sum(axis=2) > 0).all(axis=1)]
    return float(np.median(recurrence_within(pairs))) if len(pairs) >= LEAST_NEIGHBOURS else 1.0


def equal_rows(buckets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how many times each row has come if all equal rows are repeats: the upper bound of `recurrence`.

    Args:
        buckets: Rows per bucket, shape (stretches, B).
    """
    b = np.asarray(buckets, dtype=np.float64)
    return _equal_rows(b.sum(axis=-1), (b * b).sum(axis=-1), ROW_BUCKETS)


def _equal_rows(rows: NDArray[np.float64], squares: NDArray[np.float64], buckets: int) -> NDArray[np.float64]:
    return np.maximum((buckets * squares / np.maximum(rows, 1.0) - rows) / (buckets - 1), 1.0)
