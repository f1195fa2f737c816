"""The numbers that verdicts are made of: is it real, and is it big. `verdict` decides; `distances` has others.

Those of two samples take counts per group, shape (groups,), of the same groups in training and live; which order the
groups are in does not matter. The larger they are, the less alike the samples.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from flask_boxkite.drift.tables import counts_of

__all__ = [
    "chi_squared_limit",
    "chi_squared_tail",
    "g_statistic",
    "population_stability_index",
    "psi_sampling_noise",
]


def g_statistic(baseline: ArrayLike, live: ArrayLike) -> float:
    """Return the likelihood-ratio statistic of homogeneity of two samples.

    G = 2·Σ [c·ln(c / (N·e)) + d·ln(d / (n·e))] with e = (c + d) / (N + n) and 0·ln 0 = 0. Range [0, inf). If both
    samples come from one population, it follows χ² with one degree of freedom less than there are groups. An empty
    group adds nothing; with an empty sample the statistic is 0.

    Args:
        baseline: Counts c per group, N in all.
        live: Counts d per group, n in all.

    Raises:
        BinMismatchError: The shapes differ.

    References:
        Wilks, The Large-Sample Distribution of the Likelihood Ratio for Testing Composite Hypotheses, 1938.

    >>> round(g_statistic([50, 50], [90, 10]), 4)
    40.6997
    """
    c, d = counts_of(baseline, live)
    if c.sum() == 0 or d.sum() == 0:
        return 0.0
    expected = (c + d) / (c.sum() + d.sum())
    total = 0.0
    for counts in (c, d):
        held = counts > 0
        total += float(np.sum(counts[held] * np.log(counts[held] / (counts.sum() * expected[held]))))
    return max(2.0 * total, 0.0)


def population_stability_index(baseline: ArrayLike, live: ArrayLike) -> float:
    """Return the population stability index, with half a count added to each group.

    PSI = Σ (q - p)·ln(q / p) over the K groups that are not empty on both sides, with p = (c + 0.5) / (N + 0.5·K) and
    q = (d + 0.5) / (n + 0.5·K). Symmetric, range [0, inf); 0 with fewer than two such groups. A group that is empty on
    one side adds a finite amount; an empty sample counts as equal shares. Sampling alone makes it positive: see
    `psi_sampling_noise`.

    Args:
        baseline: Counts c per group, N in all.
        live: Counts d per group, n in all.

    Raises:
        BinMismatchError: The shapes differ.

    References:
        Yurdakul and Naranjo, Statistical Properties of the Population Stability Index, 2020.

    >>> round(population_stability_index([50, 50], [90, 10]), 4)
    0.8531
    """
    c, d = counts_of(baseline, live)
    held = (c + d) > 0
    c, d = c[held] + 0.5, d[held] + 0.5
    if len(c) < 2:
        return 0.0
    p, q = c / c.sum(), d / d.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def psi_sampling_noise(baseline: ArrayLike, live: ArrayLike) -> float:
    """Return about how much PSI two samples of one population have, on average.

    (K - 1)·(1/N + 1/n), with K the number of groups that are not empty on both sides. Range [0, inf); it falls as
    samples grow, and is infinite if one is empty.

    Args:
        baseline: Counts per group, N in all.
        live: Counts per group, n in all.

    Raises:
        BinMismatchError: The shapes differ.

    References:
        Yurdakul and Naranjo, Statistical Properties of the Population Stability Index, 2020.

    >>> round(psi_sampling_noise([50, 30, 20], [20, 20, 10]), 4)
    0.06
    """
    c, d = counts_of(baseline, live)
    if c.sum() == 0 or d.sum() == 0:
        return math.inf
    return float((np.count_nonzero(c + d) - 1) * (1 / c.sum() + 1 / d.sum()))


def chi_squared_tail(value: float, degrees: int) -> float:
    """Return the probability that χ² exceeds *value*; a closed form, exact but for rounding.

    With half = value/2 it is exp(-half)·Σ half^i / i! over i < degrees/2 for even degrees; for odd ones
    erfc(√half) + exp(-half)·Σ half^(i - 1/2) / Γ(i + 1/2) over 1 <= i < degrees/2. Range [0, 1]; it falls as *value*
    grows, and is 1 up to 0.

    Args:
        value: What χ² is to exceed.
        degrees: Degrees of freedom, a whole number >= 1.

    References:
        Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, 26.4.4 and 26.4.5.

    >>> round(chi_squared_tail(3.8415, 1), 4)
    0.05
    """
    if value <= 0:
        return 1.0
    half = value / 2
    if degrees % 2:
        total, term, start = math.erfc(math.sqrt(half)), math.exp(-half) * math.sqrt(half / math.pi) * 2, 3
    else:
        total, term, start = math.exp(-half), math.exp(-half) * half, 4
    for used in range(start, degrees + 1, 2):
        total += term
        term *= value / used
    return total


@lru_cache(maxsize=256)
def chi_squared_limit(alpha: float, degrees: int) -> float:
    """Return the value that χ² exceeds with probability *alpha*, by bisection of `chi_squared_tail` to the last bit.

    Args:
        alpha: A probability in (0, 1). The smaller, the higher the limit.
        degrees: Degrees of freedom, a whole number >= 1.

    >>> round(chi_squared_limit(0.05, 1), 4)
    3.8415
    """
    low, high = 0.0, 10.0
    while chi_squared_tail(high, degrees) > alpha:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if chi_squared_tail(middle, degrees) > alpha else (low, middle)
    return high
