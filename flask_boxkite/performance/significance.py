"""Tests of outcomes against validation rows: is the model worse by more than chance?

Each returns z, which is about standard normal if nothing has changed, and positive if outcomes are worse; `chance`
turns it into a probability. It is 0, no evidence at all, where a side is empty. Arrays may hold many windows, shape
(windows, bins).

Outcomes are often a selection of the predictions: `mantel_haenszel` and `ranking_fall` allow for one, by comparing rows
of the same bin. The others take outcomes that are drawn at random.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.performance.intervals import LEAST_FAULT
from flask_boxkite.performance.ranking import Ranking, auc_slopes

__all__ = [
    "LEAST_SLOTS",
    "auc_fall",
    "capped_mean",
    "chance",
    "dispersion_of",
    "mantel_haenszel",
    "rank_trend",
    "ranking_fall",
    "signed_root",
]

LEAST_SLOTS = 30
"""Least number of slots of time with outcomes from which dispersion is taken."""

_ROWS_AT_CAP = 2
"""Rows at the cap that are added to validation. With one, heavy tails raise too many alarms at a level of 1e-5."""

_MOST_SKEWED = 6.0
"""Skewness up to which the normal value of a gamma value is right; above it, the formula would call any value high."""

Floats = NDArray[np.float64]


def chance(z: float) -> float:
    """Return the probability that a standard normal value exceeds *z*.

    >>> round(chance(3.0902), 6)
    0.001
    """
    return math.erfc(z / math.sqrt(2)) / 2


def signed_root(
    wrong: ArrayLike, rows: ArrayLike, trained_wrong: ArrayLike, trained_rows: ArrayLike, dispersion: ArrayLike = 1.0
) -> Floats:
    """Return the signed root of G of two shares: positive if more rows are wrong than in validation.

    √(G/φ), with G the likelihood-ratio statistic of the table of wrong and right rows in both samples. Near shares of 0
    or 1, it is much nearer to normal than the difference over its standard error.

    Args:
        wrong: Number of wrong rows with an outcome, shape (…).
        rows: Number of rows with an outcome.
        trained_wrong: Number of wrong validation rows.
        trained_rows: Number of validation rows.
        dispersion: Number of rows that count as one, φ, see `dispersion_of`.

    References:
        Barndorff-Nielsen and Cox, Inference and Asymptotics, 1994, 4.3 (signed root); Wilks, 1938 (G).

    >>> round(float(signed_root(20, 100, 100, 1000)), 3)
    2.81
    """
    k, n, c, m = (np.asarray(each, dtype=np.float64) for each in (wrong, rows, trained_wrong, trained_rows))
    is_both = (n > 0) & (m > 0)
    share = np.where(is_both, (k + c) / np.maximum(n + m, 1.0), 0.0)
    g = 2 * sum(
        _times_log(observed, expected)
        for observed, expected in (
            (k, n * share),
            (n - k, n * (1 - share)),
            (c, m * share),
            (m - c, m * (1 - share)),
        )
    )
    root = np.sqrt(np.maximum(g, 0.0) / np.asarray(dispersion, dtype=np.float64))
    return np.where(is_both, np.copysign(root, k * m - c * n), 0.0)


def _times_log(observed: Floats, expected: Floats) -> Floats:
    """Return x·ln(x/e); 0 for x = 0."""
    is_filled = (observed > 0) & (expected > 0)
    return np.where(
        is_filled, observed * np.log(np.where(is_filled, observed / np.where(is_filled, expected, 1), 1)), 0
    )


def mantel_haenszel(
    hits: ArrayLike,
    rows: ArrayLike,
    trained_hits: ArrayLike,
    trained_rows: ArrayLike,
    *,
    weights: ArrayLike = 1.0,
    dispersion: ArrayLike = 1.0,
) -> Floats:
    """Return z of more hits among outcomes than among validation rows of the same bins.

    The sum of hits less its expectation, over its standard deviation, given the hits of both samples in each bin: with
    n and N rows, k and K hits, and r = (k + K)/(n + N), the expectation is n·r and the variance
    n·N·r(1 - r)/(n + N - 1). Few hits are skewed, so that z would pass high limits too often; the sum is taken to
    follow the gamma distribution with its skewness, and z is the normal value with the same probability.

    Args:
        hits: Hits among rows with an outcome, shape (…, bins).
        rows: Rows with an outcome.
        trained_hits: Hits among validation rows.
        trained_rows: Validation rows.
        weights: Weights of the hits of each bin.
        dispersion: Number of rows that count as one, φ, shape (…).

    References:
        Mantel and Haenszel, Statistical Aspects of the Analysis of Data from Retrospective Studies of Disease, 1959;
        Wilson and Hilferty, The Distribution of Chi-square, 1931 (gamma).

    >>> round(float(mantel_haenszel([4, 5], [10, 10], [10, 40], [100, 100])), 2)
    1.95
    """
    k, n, c, m = (np.asarray(each, dtype=np.float64) for each in (hits, rows, trained_hits, trained_rows))
    total = np.maximum(n + m, 1.0)
    r, w = (k + c) / total, np.asarray(weights, dtype=np.float64)
    is_both = (n > 0) & (m > 0)
    variances = np.where(is_both, n * m * r * (1 - r) / np.maximum(total - 1, 1.0), 0.0)
    thirds = variances * (1 - 2 * r) * (m - n) / np.maximum(total - 2, 1.0)

    excess = np.sum(np.where(is_both, w * (k - n * r), 0.0), axis=-1)
    variance = np.sum(w**2 * variances, axis=-1)
    deviation = np.sqrt(np.where(variance > 0, variance, 1.0))
    phi = np.sqrt(np.asarray(dispersion, dtype=np.float64))
    z = np.where(variance > 0, excess / deviation / phi, 0.0)
    return _normal(z, np.where(variance > 0, np.sum(w**3 * thirds, axis=-1) / deviation**3 * phi, 0.0))


def _normal(z: Floats, skewness: Floats) -> Floats:
    """Return the standard normal value with the probability that the standard gamma value *z* has."""
    is_skewed = np.abs(skewness) > 1e-6
    skew = np.where(is_skewed, np.minimum(skewness, _MOST_SKEWED), 1.0)
    gamma = np.maximum(1 + skew * z / 2, 0.0)
    return np.where(is_skewed, 6 / skew * (np.cbrt(gamma) - 1 + skew**2 / 36), z)


def auc_fall(live: Ranking, trained: Ranking) -> Floats:
    """Return z of a fall of the AUC.

    The difference of the logits over its standard error, times A(1 - A) of the validation rows. The variance is the one
    of the validation rows' parts, V10 and V01, for both samples: the parts of few outcomes are too often too small. 0
    if a class is empty, or the validation rows are ranked without a fault.

    Args:
        live: Ranking of rows with an outcome, arrays of shape (…).
        trained: Ranking of the validation rows.

    References:
        DeLong et al., 1988 (parts); Pepe, The Statistical Evaluation of Medical Tests, 2003, 5.2 (logit).
    """
    pairs = live.positives * live.negatives
    variance = trained.variance(live.positives, live.negatives) + trained.variance()
    is_known = (pairs > 0) & (trained.auc > LEAST_FAULT) & (trained.auc < 1 - LEAST_FAULT) & (variance > 0)
    least = np.maximum(0.5 / np.maximum(pairs, 1.0), LEAST_FAULT)
    auc = np.where(is_known, np.clip(live.auc, least, 1 - least), 0.5)
    before = np.where(is_known, trained.auc, 0.5)
    slope = before * (1 - before)
    return np.where(is_known, slope * (_logit(before) - _logit(auc)) / np.sqrt(np.where(is_known, variance, 1.0)), 0.0)


def _logit(share: Floats) -> Floats:
    return np.log(share / (1 - share))


def ranking_fall(
    negatives: ArrayLike,
    positives: ArrayLike,
    trained_negatives: ArrayLike,
    trained_positives: ArrayLike,
    dispersion: ArrayLike = 1.0,
) -> Floats:
    """Return z of an AUC lower than the one that the bins of the outcomes lead to expect.

    `mantel_haenszel` of positives, with the effect of a positive row on the AUC for weight. The effects follow from the
    shares of both samples together, which the test takes for given.

    Args:
        negatives: Negative rows with an outcome, shape (…, bins), from the lowest score to the highest.
        positives: Positive rows with an outcome.
        trained_negatives: Negative validation rows.
        trained_positives: Positive validation rows.
        dispersion: Number of rows that count as one, φ, shape (…).

    References:
        Mantel, Chi-square Tests with One Degree of Freedom, 1963 (scores).
    """
    misses, hits, trained_misses, trained_hits = (
        np.asarray(counts, dtype=np.float64) for counts in (negatives, positives, trained_negatives, trained_positives)
    )
    rows, trained = misses + hits, trained_misses + trained_hits
    shares = (hits + trained_hits) / np.maximum(rows + trained, 1.0)
    _, slopes = auc_slopes(rows * (1 - shares), rows * shares)
    weights = -np.nan_to_num(slopes) * rows.sum(axis=-1, keepdims=True)
    return mantel_haenszel(hits, rows, trained_hits, trained, weights=weights, dispersion=dispersion)


def rank_trend(counts: ArrayLike, trained: ArrayLike) -> Floats:
    """Return z of larger values among outcomes, from counts in bins of the value: of the absolute error, for example.

    The Wilcoxon test with all rows of a bin tied. No value is so large that it decides alone, as it may in a comparison
    of means.

    Args:
        counts: Rows with an outcome per bin, shape (…, bins), from the lowest value to the highest.
        trained: Validation rows per bin.

    References:
        Wilcoxon, Individual Comparisons by Ranking Methods, 1945; Lehmann, Nonparametrics, 1975, 1.4 (ties).

    >>> round(float(rank_trend([5, 5, 20], [100, 100, 100])), 2)
    3.2
    """
    d, c = np.asarray(counts, dtype=np.float64), np.asarray(trained, dtype=np.float64)
    n, m = d.sum(axis=-1), c.sum(axis=-1)
    both, total = d + c, n + m
    ranks = np.cumsum(both, axis=-1) - both / 2  # less one half, which is the same for all

    safe = np.maximum(total, 2.0)
    mean = np.sum(ranks * both, axis=-1) / safe
    spread = np.sum(both * (ranks - mean[..., None]) ** 2, axis=-1)
    variance = n * m * spread / (safe * (safe - 1))
    excess = np.sum(d * ranks, axis=-1) - n * mean
    return np.where(variance > 0, excess / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0)


def capped_mean(
    total: ArrayLike,
    rows: ArrayLike,
    mean: ArrayLike,
    square: ArrayLike,
    trained_rows: ArrayLike,
    dispersion: float = 1.0,
) -> Floats:
    """Return z of a mean of capped values above the one of all validation values.

    The values lie between 0 and a cap of 1. Of validation, which is not capped, only moments are known: so its mean is
    rather too large, and two rows at the cap are added to it, for large values that it may have missed. The skewness is
    the greatest that a value below a cap can have, with its variance; z follows from it as in `mantel_haenszel`.

    Args:
        total: Sum of the capped values with an outcome, shape (…).
        rows: Number of rows with an outcome.
        mean: Mean of the validation values, in parts of the cap.
        square: Mean of their squares.
        trained_rows: Number of validation rows.
        dispersion: Number of rows that count as one, φ.

    >>> round(float(capped_mean(30.0, 100, 0.16, 0.04, 1000)), 2)
    6.26
    """
    s, n, first, second, m = (np.asarray(each, dtype=np.float64) for each in (total, rows, mean, square, trained_rows))
    is_both = (n > 0) & (m > 0)
    n, m = np.where(is_both, n, 1.0), np.where(is_both, m, 1.0)
    before, of_squares = ((m * each + _ROWS_AT_CAP) / (m + _ROWS_AT_CAP) for each in (first, second))
    deviation = np.sqrt(np.maximum(of_squares - before**2, 1e-300))
    share = 1 / n + 1 / m

    z = (s / n - before) / deviation / np.sqrt(share * dispersion)
    skewness = (1 - before) / deviation * (1 / n**2 - 1 / m**2) / share**1.5 * math.sqrt(dispersion)
    return np.where(is_both, _normal(z, np.maximum(skewness, 0.0)), 0.0)


def dispersion_of(wrong: ArrayLike, rows: ArrayLike) -> float:
    """Return the number of rows that count as one, φ, from slots of time; at least 1, and 1 for few slots.

    The mean over neighbouring slots of (k/m - k'/m')²·m·m'/(m + m')/(p(1 - p)), with k of m rows wrong in one slot, k'
    of m' in the next, and p in all: 1 for independent rows, and r if each row comes r times in one slot. A change in
    the window is a difference between two neighbours only.

    Args:
        wrong: Wrong rows with an outcome per slot, shape (slots,), in the order of time.
        rows: Rows with an outcome per slot.

    References:
        von Neumann, Distribution of the Ratio of the Mean Square Successive Difference to the Variance, 1941.

    >>> round(dispersion_of([0, 4] * 15, [8] * 30), 2)
    5.33
    """
    m = np.asarray(rows, dtype=np.float64)
    k, m = np.asarray(wrong, dtype=np.float64)[m > 0], m[m > 0]
    share = float(k.sum()) / max(float(m.sum()), 1.0)
    if len(m) < LEAST_SLOTS or not 0 < share < 1:
        return 1.0
    weights = m[1:] * m[:-1] / (m[1:] + m[:-1])
    return max(float(np.mean(np.diff(k / m) ** 2 * weights)) / (share * (1 - share)), 1.0)
