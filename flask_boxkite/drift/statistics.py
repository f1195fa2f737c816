"""Statistics for verdicts: is a change real, and is it big? `verdict` decides; `distances` has other numbers.

Statistics of two samples take counts per group, shape (groups,), of the same groups in training and live, in any
order. The larger they are, the less alike are the samples.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.drift.tables import counts_of, per_variable

__all__ = [
    "chi_squared_limit",
    "chi_squared_limits",
    "chi_squared_tail",
    "f_limit",
    "f_tail",
    "g_statistic",
    "g_statistics",
    "population_stability_index",
    "population_stability_indices",
    "psi_error",
    "psi_sampling_noise",
]


def g_statistic(baseline: ArrayLike, live: ArrayLike) -> float:
    """Return the likelihood-ratio statistic of homogeneity of two samples.

    G = 2·Σ [c·ln(c / (N·e)) + d·ln(d / (n·e))] with e = (c + d) / (N + n) and 0·ln 0 = 0. Range [0, inf). If both
    samples come from one population, G follows χ² with one degree of freedom less than there are groups. An empty group
    adds nothing; with an empty sample G is 0.

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
        filled = counts > 0
        total += float(np.sum(counts[filled] * np.log(counts[filled] / (counts.sum() * expected[filled]))))
    return max(2.0 * total, 0.0)


def g_statistics(
    baseline: NDArray[np.int64],
    live: NDArray[np.int64],
    firsts: NDArray[np.intp],
    dispersion: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the `g_statistic` of several variables in several samples, shape (samples, variables).

    Twice Σ x·ln x over the cells of the table of groups by samples, less the same sum over its margins, plus the same
    term of its total. It equals `g_statistic` to about 1e-9 of the rows.

    Args:
        baseline: Counts of all groups, one variable after the other, shape (groups,).
        live: Counts of the same groups, shape (samples, groups).
        firsts: Index of each variable's first group.
        dispersion: Number of live rows that count as one, φ, shape (samples, variables); None for 1. G is
            computed from live / φ. For few live rows, that is G of all rows divided by φ; for more rows than training
            has, φ lowers G less.

    >>> g_statistics(np.array([50, 50]), np.array([[90, 10]]), np.array([0])).round(4)
    array([[40.6997]])
    >>> g_statistics(np.array([50, 50]), np.array([[900, 100]]), np.array([0]), np.array([[10.0]])).round(4)
    array([[40.6997]])
    """
    trained, served = per_variable(baseline, firsts), per_variable(live, firsts)
    of_live = per_variable(_x_log_x(live), firsts) - _x_log_x(served)
    of_trained = per_variable(_x_log_x(baseline), firsts) - _x_log_x(trained)
    total: NDArray[Any] = live + baseline
    rows: NDArray[Any] = served + trained
    if dispersion is not None:
        of_live, rows = of_live / dispersion, served / dispersion + trained
        total = live / np.repeat(dispersion, np.diff(firsts, append=live.shape[-1]), axis=-1) + baseline
    of_total = per_variable(_x_log_x(total), firsts) - _x_log_x(rows)
    return np.where((served > 0) & (trained > 0), np.maximum(2.0 * (of_live + of_trained - of_total), 0.0), 0.0)


def _x_log_x(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return x·ln x of numbers from 0 on; 0 for 0."""
    x = counts.astype(np.float64)
    logarithms = np.maximum(x, 1e-300)
    np.log(logarithms, out=logarithms)
    logarithms *= x
    return logarithms


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
    filled = (c + d) > 0
    c, d = c[filled] + 0.5, d[filled] + 0.5
    if len(c) < 2:
        return 0.0
    p, q = c / c.sum(), d / d.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def population_stability_indices(
    baseline: NDArray[np.int64], live: NDArray[np.int64], firsts: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the `population_stability_index` of several variables, shape (variables,).

    Args:
        baseline: Counts of all groups, one variable after the other, shape (groups,).
        live: Counts of the same groups.
        firsts: Index of each variable's first group.

    >>> population_stability_indices(np.array([50, 50]), np.array([90, 10]), np.array([0])).round(4)
    array([0.8531])
    """
    filled = (baseline + live) > 0
    groups = np.diff(firsts, append=len(baseline))
    p, q = (
        (counts + 0.5) / np.repeat(np.maximum(per_variable(counts + 0.5 * filled, firsts), 0.5), groups)
        for counts in (baseline, live)
    )
    return per_variable(np.where(filled, (q - p) * np.log(q / p), 0.0), firsts)


def psi_sampling_noise(baseline: ArrayLike, live: ArrayLike, *, dispersion: float = 1.0) -> float:
    """Return the approximate mean PSI of two samples of one population.

    (K - 1)·(1/N + φ/n), with K the number of groups that are not empty on both sides. Range [0, inf); it falls as
    samples grow, and is infinite if one is empty.

    Args:
        baseline: Counts per group, N in all.
        live: Counts per group, n in all.
        dispersion: Number of live rows that count as one, φ.

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
    return float((np.count_nonzero(c + d) - 1) * (1 / c.sum() + dispersion / d.sum()))


def psi_error(size: float, noise: float, groups: int) -> float:
    """Return the approximate standard error of the population stability index.

    sqrt(2·k·u² + 4·size·u) with k = groups - 1 and u = noise/k, which is 1/N + 1/n: where the shift is not large, PSI/u
    follows a noncentral χ² with k degrees of freedom and noncentrality size/u. Range [0, inf); falls as samples grow.

    Args:
        size: PSI less its sampling noise, at least 0.
        noise: The `psi_sampling_noise`.
        groups: Number of groups that are not empty on both sides.

    References:
        Yurdakul and Naranjo, Statistical Properties of the Population Stability Index, 2020; Patnaik, The Non-central
        χ²- and F-Distributions, 1949 (variance).

    >>> round(psi_error(0.2, 0.0225, 10), 4)
    0.046
    """
    if groups < 2:
        return 0.0
    u = noise / (groups - 1)
    return math.sqrt(2 * noise * u + 4 * size * u)


def chi_squared_tail(value: float, degrees: int) -> float:
    """Return the probability that χ² exceeds *value*; a closed form, exact but for rounding.

    With half = value/2 it is exp(-half)·Σ half^i / i! over i < degrees/2 for even degrees; for odd ones
    erfc(√half) + exp(-half)·Σ half^(i - 1/2) / Γ(i + 1/2) over 1 <= i < degrees/2. Range [0, 1]; it falls as *value*
    grows, and is 1 up to 0.

    Args:
        value: Value to exceed.
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


@lru_cache(maxsize=16384)
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


def chi_squared_limits(alphas: NDArray[np.float64] | float, degrees: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the `chi_squared_limit` of several variables.

    Args:
        alphas: Probability of each variable, shape (variables,), or one for all.
        degrees: Degrees of freedom of each variable, shape (variables,).
    """
    pairs = zip(np.broadcast_to(alphas, degrees.shape).tolist(), degrees.tolist(), strict=True)
    return np.array([chi_squared_limit(alpha, number) for alpha, number in pairs], dtype=np.float64)


def f_tail(value: float, degrees: int, of_divisor: float) -> float:
    """Return the probability that F exceeds *value*.

    The regularised incomplete beta function of d/(d + k·value) with parameters d/2 and k/2, for k and d degrees of
    freedom, by its continued fraction (modified Lentz). Range [0, 1]; it falls as *value* grows, and is 1 up to 0.

    Args:
        value: Value to exceed.
        degrees: Degrees of freedom of the dividend, k.
        of_divisor: Degrees of freedom of the divisor, d.

    References:
        Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, 26.5.8 and 26.6.2.

    >>> round(f_tail(4.9646, 1, 10), 4)
    0.05
    """
    if value <= 0:
        return 1.0
    x = of_divisor / (of_divisor + degrees * value)
    a, b = of_divisor / 2, degrees / 2
    if x > (a + 1) / (a + b + 2):  # here the fraction of the other tail converges
        return 1.0 - _incomplete_beta(degrees * value / (of_divisor + degrees * value), b, a)
    return _incomplete_beta(x, a, b)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    if x <= 0:
        return 0.0
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d

    for m in range(1, 1000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + term * d)
            c = 1 + term / c
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break

    return math.exp(logarithm) * fraction / a


@lru_cache(maxsize=16384)
def f_limit(alpha: float, degrees: int, of_divisor: int) -> float:
    """Return the value that F exceeds with probability *alpha*, by bisection of `f_tail`.

    Args:
        alpha: A probability in (0, 1). The smaller, the higher the limit.
        degrees: Degrees of freedom of the dividend, a whole number >= 1.
        of_divisor: Degrees of freedom of the divisor, a whole number >= 1.

    >>> round(f_limit(0.05, 1, 10), 4)
    4.9646
    """
    low, high = 0.0, 10.0
    while f_tail(high, degrees, of_divisor) > alpha:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if f_tail(middle, degrees, of_divisor) > alpha else (low, middle)
    return high
