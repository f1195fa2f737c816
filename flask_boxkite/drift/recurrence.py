"""How often rows recur: measured, by counting rows that are equal.

Tests for drift take rows for independent. Returning users, retries and repeated requests send the same row again, so a
few things that happened look like many. Each row is counted in one of 256 buckets, by a hash of its values. Independent
rows meet in a bucket by chance; what meets more often has come before. How often rows are equal by chance anyway, as in
a model of three yes-or-no features, is known from training.

Where chance alone makes many rows equal, and where a single row makes up most of what recurs (an empty request, a
failed join, a probe), equal rows say nothing of repeats: then how often rows recur is unknown.
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
"""Up to so many equal rows that a row meets by chance, what it meets beyond them can be told."""

ERROR = (2 / (ROW_BUCKETS - 1)) ** 0.5
"""The standard deviation of recurrence, as a share of it: 0.09."""

NOTICEABLE = 1.3
"""Above this, recurrence is no noise: 1 where all rows differ, and three standard deviations."""


LEAST_NEIGHBOURS = 3
"""Neighbouring slots that tell how often rows recur as a rule."""


def recurrence(buckets: NDArray[np.int64], collisions: float | None) -> NDArray[np.float64]:
    """Return how many times each row has come, on average over rows; NaN where it cannot be told.

    h = (B·Σb²/n - n)/(B - 1) with b of n rows in each of B buckets. It is 1 if all rows differ (with a standard
    deviation of 0.09), r if each has come r times, whatever n: what n independent rows count for is n/h. Less n times
    the probability that two rows are equal anyway, it is unbiased for models whose rows are equal now and then. Range
    [1, inf). Without rows it is 1.

    It is NaN if by chance a row meets more than `MOST_BY_CHANCE` others (if that probability is unknown: if anything
    recurs), or if without the fullest bucket h would be less than half: then one row is all that recurs.

    Args:
        buckets: Rows per bucket, shape (stretches, B).
        collisions: The probability that two training rows are equal; None if it is unknown.

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
    """Return what *recurring* is less its `ERROR`, from 1 on; 1 for NaN.

    Rows that all differ would else count for fewer than they are half of the time, and small changes be overlooked.
    """
    found: NDArray[np.float64] = np.fmax(recurring * (1 - ERROR), 1.0)
    return found


def recurrence_within(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many times each row has come within its part of a stretch, beyond how often it comes in others.

    1 + (w - x)·(m - 1) with w, x the probability that two rows of the same part, of different parts, are equal, and m
    the rows of a part (its mean over rows). So it is 1 if a few different rows come at all times, as a fault leaves
    them, and r if rows are sent r times in a short while, however likely equal rows are. Range [1, inf).

    Args:
        parts: Rows per bucket of each part, shape (..., parts, B).
    """
    rows, whole = parts.sum(axis=-1), parts.sum(axis=-2)
    total = rows.sum(axis=-1)
    pairs_within, pairs_across = (rows * (rows - 1)).sum(axis=-1), total**2 - (rows**2).sum(axis=-1)
    equal_within = (parts * (parts - 1)).sum(axis=(-2, -1)) / np.maximum(pairs_within, 1.0)
    equal_across = ((whole**2).sum(axis=-1) - (parts**2).sum(axis=(-2, -1))) / np.maximum(pairs_across, 1.0)
    # Both hold the chance of 1/B that other rows have, which the difference does not.
    excess = (equal_within - equal_across) / (1 - 1 / parts.shape[-1]) * pairs_within / np.maximum(total, 1.0)
    return np.where(pairs_across > 0, np.maximum(1.0 + excess, 1.0), 1.0)


def usual_recurrence(slots: NDArray[np.float64]) -> float:
    """Return how many times rows come within a slot as a rule: the median over neighbours; 1 with fewer than three.

    Args:
        slots: Rows per bucket of each slot, shape (slots, B).
    """
    pairs = np.stack([slots[:-1], slots[1:]], axis=1)
    pairs = pairs[(pairs.sum(axis=2) > 0).all(axis=1)]
    return float(np.median(recurrence_within(pairs))) if len(pairs) >= LEAST_NEIGHBOURS else 1.0


def equal_rows(buckets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how many times each row has come if all equal rows are repeats: what `recurrence` is at most.

    Args:
        buckets: Rows per bucket, shape (stretches, B).
    """
    b = np.asarray(buckets, dtype=np.float64)
    return _equal_rows(b.sum(axis=-1), (b * b).sum(axis=-1), ROW_BUCKETS)


def _equal_rows(rows: NDArray[np.float64], squares: NDArray[np.float64], buckets: int) -> NDArray[np.float64]:
    return np.maximum((buckets * squares / np.maximum(rows, 1.0) - rows) / (buckets - 1), 1.0)
