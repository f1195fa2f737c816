"""Distances of two distributions. They describe a change but do not judge it, because they ignore chance.

Jensen-Shannon, Kullback-Leibler and Hellinger take groups in any order. Kolmogorov-Smirnov and Wasserstein need an
order, so they take the bins of a continuous variable. All take counts, shape (groups,) or (bins,), baseline first; a
larger distance means further apart. With an empty sample, a distance is NaN.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.drift.tables import counts_of, shares_of
from flask_boxkite.errors import BinMismatchError

__all__ = [
    "hellinger_distance",
    "jensen_shannon_distance",
    "kl_divergence",
    "kolmogorov_smirnov",
    "kolmogorov_smirnov_limit",
    "wasserstein_distance",
]


def jensen_shannon_distance(baseline: ArrayLike, live: ArrayLike) -> float:
    """Return the Jensen-Shannon distance, the root of the divergence, to base 2.

    sqrt(Σ [p·log2(p/m) + q·log2(q/m)] / 2) with shares p, q and m = (p + q)/2. A metric: symmetric, range [0, 1]; 1 if
    no group is filled on both sides. An empty group adds nothing on its side.

    Args:
        baseline: Counts per group, of which p are the shares.
        live: Counts of the same groups, of which q are the shares.

    Raises:
        BinMismatchError: The shapes differ.

    References:
        Lin, Divergence Measures Based on the Shannon Entropy, 1991; Endres and Schindelin, A New Metric for Probability
        Distributions, 2003.

    >>> round(jensen_shannon_distance([50, 50], [90, 10]), 4)
    0.3831
    """
    p, q = map(shares_of, counts_of(baseline, live))
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / (2 * math.log(2))
    return math.sqrt(min(max(divergence, 0.0), 1.0)) if divergence == divergence else math.nan


def kl_divergence(baseline: ArrayLike, live: ArrayLike, *, smoothing: float = 0.5) -> float:
    """Return the Kullback-Leibler divergence of live from training, in nats; swap the arguments for the opposite one.

    Σ q·ln(q/p) over the K groups that are not empty on both sides, with p = (c + s) / (N + s·K), and q likewise. Range
    [0, inf), not symmetric. The two directions add up to the population stability index with the same smoothing.

    Args:
        baseline: Counts c per group, N in all.
        live: Counts d per group.
        smoothing: Count s that is added to every group first; with 0, a group that only live rows fill gives inf.

    Raises:
        BinMismatchError: The shapes differ.

    References:
        Kullback and Leibler, On Information and Sufficiency, 1951.

    >>> round(kl_divergence([50, 50], [90, 10], smoothing=0), 4)
    0.3681
    """
    c, d = counts_of(baseline, live)
    if c.sum() == 0 or d.sum() == 0:
        return math.nan
    is_filled = (c + d) > 0
    return max(_relative_entropy(shares_of(d[is_filled] + smoothing), shares_of(c[is_filled] + smoothing)), 0.0)


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    is_filled = p != 0  # NaN stays NaN
    if np.any(q[is_filled] == 0):
        return math.inf
    return float(np.sum(p[is_filled] * np.log(p[is_filled] / q[is_filled])))


def hellinger_distance(baseline: ArrayLike, live: ArrayLike) -> float:
    """Return the Hellinger distance.

    sqrt(Σ (√p - √q)² / 2) with shares p and q. A metric: symmetric, range [0, 1]; 1 if no group is filled on both
    sides. A group that is empty on both sides adds nothing.

    Args:
        baseline: Counts per group, of which p are the shares.
        live: Counts of the same groups, of which q are the shares.

    Raises:
        BinMismatchError: The shapes differ.

    References:
        Hellinger, Neue Begründung der Theorie quadratischer Formen von unendlichvielen Veränderlichen, 1909.

    >>> round(hellinger_distance([50, 50], [90, 10]), 4)
    0.3249
    """
    p, q = map(shares_of, counts_of(baseline, live))
    total = np.sum((np.sqrt(p) - np.sqrt(q)) ** 2) / 2
    return float(np.sqrt(np.minimum(total, 1.0)))


def kolmogorov_smirnov(baseline: ArrayLike, live: ArrayLike) -> float:
    """Return the Kolmogorov-Smirnov statistic on bins: the largest distance of the cumulative shares.

    ``max |F - G|`` at the bounds of bins, with F and G the shares of rows up to there. Between bounds the distance may
    be larger, so bins understate it. Symmetric, range [0, 1]. Empty bins change nothing.

    Args:
        baseline: Counts per bin, ascending. Missing and invalid rows have no place among them: leave them out.
        live: Counts of the same bins.

    Raises:
        BinMismatchError: The shapes differ.

    References:
        Smirnov, Table for Estimating the Goodness of Fit of Empirical Distributions, 1948.

    >>> kolmogorov_smirnov([25, 25, 50], [50, 25, 25])
    0.25
    """
    p, q = map(shares_of, counts_of(baseline, live))
    return float(np.max(np.abs(np.cumsum(p) - np.cumsum(q)), initial=0.0))


def kolmogorov_smirnov_limit(trained: float, served: float, alpha: float) -> float:
    """Return the limit that `kolmogorov_smirnov` exceeds with about probability *alpha* or less without drift.

    sqrt(-ln(alpha/2)/2 · (1/N + 1/n)): the asymptotic limit for continuous values, so on the safe side for bins. Range
    (0, inf); it falls as samples grow, and is infinite if a sample is empty. It takes rows for independent.

    Args:
        trained: Number N of training rows that have a value.
        served: Number n of live rows that have a value.
        alpha: Probability in (0, 1).

    References:
        Smirnov, as above; Massart, The Tight Constant in the Dvoretzky-Kiefer-Wolfowitz Inequality, 1990.

    >>> round(kolmogorov_smirnov_limit(1000, 1000, 0.05), 4)
    0.0607
    """
    if trained <= 0 or served <= 0:
        return math.inf
    return math.sqrt(-math.log(alpha / 2) / 2 * (1 / trained + 1 / served))


def wasserstein_distance(baseline: ArrayLike, live: ArrayLike, bounds: ArrayLike) -> float:
    """Return the Wasserstein (earth mover's) distance on bins, in the unit of the variable.

    ``∫ |F - G| dx`` over the shares of rows up to x, with every row at the centre of its bin; rows beyond the bounds
    lie at the nearest bound. So the distance is off by at most the width of a bin, apart from rows beyond the bounds.
    Symmetric, range [0, highest - lowest bound]; infinite where that is more than a float holds. Empty bins change
    nothing.

    Args:
        baseline: Counts per bin, one more than there are bounds. Missing and invalid rows are left out.
        live: Counts of the same bins.
        bounds: Upper bounds of the bins but for the last, ascending and finite, shape (bins - 1,).

    Raises:
        BinMismatchError: The shapes do not match.

    References:
        Vallender, Calculation of the Wasserstein Distance between Probability Distributions on the Line, 1974.

    >>> wasserstein_distance([0, 1, 1, 0], [0, 0, 1, 1], [0.0, 2.0, 4.0])
    1.5
    """
    p, q = map(shares_of, counts_of(baseline, live))
    edges = np.asarray(bounds, dtype=np.float64)
    if edges.shape != (len(p) - 1,):
        msg = f"Expected one bound less than the {len(p)} bins, got shape {edges.shape}."
        raise BinMismatchError(msg)
    positions = np.concatenate([edges[:1], edges[:-1] / 2 + edges[1:] / 2, edges[-1:]])
    apart = np.abs(np.cumsum(p) - np.cumsum(q))[:-1]
    with np.errstate(over="ignore"):
        steps = np.diff(positions)
        return float(np.sum(apart[apart != 0] * steps[apart != 0]))
