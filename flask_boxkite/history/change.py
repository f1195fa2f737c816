"""The day on which the shares of a variable changed: a likelihood-ratio scan for one change, with a confidence set.

Each split of the days into two parts is compared: G of homogeneity between the rows before and the rows since. The
split with the largest G is the estimate. Rows of a day are alike, so G is divided by the dispersion φ between the days
of each part. It must exceed the limit of F, at the false-alarm probability divided by the number of splits.

The confidence set holds the splits whose G/φ is less than 7.35 below the largest. Near a small change, G/φ falls on
either side as a Brownian motion with drift does, so the largest exceeds the one of the true split by more than 2·x with
probability 1 - (1 - exp(-x))², which is 0.05 for 2·x = 7.35. For large changes the set holds the truth more often.

One change is sought. Of several, the scan finds the one that divides the days best; a course that goes back adds to the
dispersion. A part of less than a week must differ also from the same days of the week in the other part, or every
weekend would be a change.

References:
    Csörgő and Horváth, Limit Theorems in Change-Point Analysis, 1997, 1.1 (the scan); Siegmund, Confidence Sets in
    Change-point Problems, 1988 (likelihood-ratio sets); McCullagh and Nelder, Generalized Linear Models, 1989, 4.5.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.statistics import f_limit, g_statistic
from flask_boxkite.drift.tables import per_variable
from flask_boxkite.drift.verdict import MINIMUM_ROWS

__all__ = [
    "CONFIDENCE",
    "LEAST_SLOTS",
    "WEEK",
    "Beginning",
    "Change",
    "Comparison",
    "beginning",
    "changes",
    "compared",
]

CONFIDENCE = 0.95
"""Probability with which a confidence set holds the true beginning, at least."""

LEAST_SLOTS = 4
"""Least number of days with rows: with fewer, nothing tells how much days differ anyway."""

WEEK = 7
"""Number of days."""

_FALL = -2 * math.log(1 - math.sqrt(CONFIDENCE))

Floats = NDArray[np.float64]
Counts = NDArray[Any]
"""Rows, as whole numbers or weighted."""


class Comparison(NamedTuple):
    """Two groups of slots.

    Attributes:
        g: G of homogeneity of their rows, over φ.
        limit: Value that it must exceed.
        dispersion: Number of rows that count as one, φ.
    """

    g: float
    limit: float
    dispersion: float

    @property
    def is_significant(self) -> bool:
        """Whether chance explains no such difference."""
        return self.g > self.limit


class Change(NamedTuple):
    """The change of one variable.

    Attributes:
        slot: Index of the first slot since the change.
        first: First slot of the confidence set.
        last: Last slot of the confidence set.
        g: G of the rows before and since, over φ.
        limit: Value that it exceeds.
        dispersion: Number of rows that count as one, φ.
    """

    slot: int
    first: int
    last: int
    g: float
    limit: float
    dispersion: float


def changes(
    slots: Counts, firsts: NDArray[np.intp], alpha: float, days: NDArray[np.int64] | None = None
) -> list[Change | None]:
    """Return the change of each variable; None if there is none, or too little is known.

    Args:
        slots: Rows per group of each slot, all variables one after the other, shape (slots, groups), in the order of
            time.
        firsts: Index of each variable's first group.
        alpha: Probability that chance alone makes a change of one variable.
        days: Number of each slot's day, by which days of the week are compared with the same days, shape (slots,);
            None for slots that are all alike.
    """
    if len(slots) < LEAST_SLOTS or not len(firsts):
        return [None] * len(firsts)
    scanned = _statistics(slots, firsts)
    limits = [*firsts[1:].tolist(), slots.shape[1]]
    of_variables = [slots[:, first:last] for first, last in zip(firsts.tolist(), limits, strict=True)]
    return [_change(own, scanned[:, place], alpha, days) for place, own in enumerate(of_variables)]


def _change(slots: Counts, scanned: Floats, alpha: float, days: NDArray[np.int64] | None) -> Change | None:
    """Return the change of one variable.

    Args:
        slots: Rows per group of each slot, shape (slots, groups).
        scanned: G of each split, shape (slots - 1,).
        alpha: Probability of a false alarm.
        days: Number of each slot's day.
    """
    allowed = np.arange(1, len(slots))
    for _ in range(2):
        if not len(allowed):
            return None
        split = int(allowed[np.argmax(scanned[allowed - 1])])
        before, since = np.arange(split), np.arange(split, len(slots))
        found = compared(slots[before], slots[since], alpha / len(scanned))
        if found is None or not found.is_significant:
            return None
        if days is None or min(len(before), len(since)) >= WEEK or _holds_by_weekday(slots, before, since, days, alpha):
            inside = np.flatnonzero(scanned >= scanned[split - 1] - _FALL * found.dispersion) + 1
            return Change(split, int(inside[0]), int(inside[-1]), *found)
        # The end is a weekend, say, which differs from the whole but not from other weekends.
        allowed = np.arange(WEEK, len(slots) - WEEK + 1)
    return None


class Beginning(NamedTuple):
    """The beginning of a known change among finer slots.

    Attributes:
        slot: Index of the first slot since the change.
        first: First slot of the confidence set.
        last: Last slot of the confidence set.
    """

    slot: int
    first: int
    last: int


def beginning(slots: NDArray[np.int64], before: NDArray[np.int64], since: NDArray[np.int64]) -> Beginning:
    """Return where a known change began among hours, say, by the likelihood of the rows before and since.

    Each slot adds Σ d·ln(q/p) of its rows per group d, with the shares p before and q since. The sum from the beginning
    on is largest at the estimate; the set holds the beginnings for which twice the sum is less than 7.35·φ below. φ is
    the dispersion of the slots around p before the estimate and around q since, so that hours of the day which differ
    make the set wider.

    Args:
        slots: Rows per group of each slot, shape (slots, groups), at least one.
        before: Rows per group, surely before the change, shape (groups,).
        since: Rows per group, surely since the change.
    """
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (before, since))
    gains = slots @ np.log(q / p)
    course = np.append(np.cumsum(gains[::-1])[::-1], 0.0)
    best = int(np.argmax(course))
    expected = np.where((np.arange(len(slots)) < best)[:, np.newaxis], p, q) * slots.sum(axis=1, keepdims=True)
    squares = np.where(expected > 0, (slots - expected) ** 2 / np.where(expected > 0, expected, 1.0), 0.0)
    degrees = (len(p) - 1) * int(np.count_nonzero(slots.any(axis=1)))
    phi = max(float(squares.sum()) / max(degrees, 1), 1.0)
    inside = np.flatnonzero(2 * course >= 2 * course[best] - _FALL * phi)
    return Beginning(best, int(inside[0]), int(inside[-1]))


def _holds_by_weekday(
    slots: Counts,
    before: NDArray[np.intp],
    since: NDArray[np.intp],
    days: NDArray[np.int64],
    alpha: float,
) -> bool:
    """Say whether a part of less than a week differs also from the same days of the week in the other part."""
    short, long = (before, since) if len(before) < len(since) else (since, before)
    same = long[np.isin(days[long] % WEEK, days[short] % WEEK)]
    # Of less than two weeks, or with other days, nothing is known about days of the week.
    found = compared(slots[short], slots[same], alpha / len(slots)) if len(same) > 1 else None
    return len(same) < 2 or (found is not None and found.is_significant)


def compared(before: Counts, since: Counts, alpha: float) -> Comparison | None:
    """Compare the rows of two groups of slots; None if they are too few.

    φ = Σ (d - m·q)²/(m·p) / df: a group has d of the m rows of a slot, the share q on its side and p in all slots.

    Args:
        before: Rows per group of each slot, shape (slots, groups).
        since: The same of other slots.
        alpha: Probability that chance alone makes a difference.
    """
    sides = [side[side.any(axis=1)].astype(np.float64) for side in (before, since)]
    sums = [side.sum(axis=0) for side in sides]
    total = sums[0] + sums[1]
    k = int(np.count_nonzero(total)) - 1
    freedom = k * (len(sides[0]) + len(sides[1]) - 2)
    if k < 1 or freedom < 1 or min(float(each.sum()) for each in sums) < MINIMUM_ROWS:
        return None

    shares, chi_squared = total / total.sum(), 0.0
    for side, own in zip(sides, sums, strict=True):
        rows = side.sum(axis=1, keepdims=True)
        spread = ((side - rows * own / own.sum()) ** 2 / rows).sum(axis=0)
        chi_squared += float((spread[shares > 0] / shares[shares > 0]).sum())
    phi = max(chi_squared / freedom, 1.0)
    return Comparison(g_statistic(*sums) / phi, k * f_limit(alpha, k, freedom), phi)


def _statistics(slots: Counts, firsts: NDArray[np.intp]) -> Floats:
    """Return G between the slots before and since each split, shape (splits, variables)."""
    before = np.cumsum(slots, axis=0)[:-1].astype(np.float64)
    total = slots.sum(axis=0).astype(np.float64)
    rows, all_rows = per_variable(before, firsts), per_variable(total, firsts)
    of_groups = per_variable(_x_log_x(before) + _x_log_x(total - before) - _x_log_x(total), firsts)
    of_rows = _x_log_x(rows) + _x_log_x(all_rows - rows) - _x_log_x(all_rows)
    return np.maximum(2.0 * (of_groups - of_rows), 0.0)


def _x_log_x(counts: Floats) -> Floats:
    return counts * np.log(np.maximum(counts, 1e-300))
