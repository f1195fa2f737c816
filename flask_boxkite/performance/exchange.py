"""Differences between two models on the same rows: intervals of 95 %, and tests by exchange.

If two models are equally good, an exchange of their predictions of a row changes only the sign of the row's part in the
difference. So a sum of parts of any size is as likely to be negative as positive, and passes z times the root of their
squares at most 3.2 times as often as a normal value passes z. A few very large parts cannot make a verdict.

References:
    Bentkus and Dzindzalieta, A Tight Gaussian Bound for Weighted Sums of Rademacher Random Variables, 2015.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.drift.statistics import f_tail
from flask_boxkite.performance.intervals import student_limit
from flask_boxkite.performance.metric import BAND, NOTHING, Estimate

__all__ = ["difference", "mid_p", "ranking_difference", "ranking_parts", "share_difference", "sum_chance"]

Floats = NDArray[np.float64]

_MANY = 10_000
"""Number of rows from which the binomial distribution is as good as normal, within 1 % at five standard errors."""


def mid_p(first: int, second: int) -> float:
    """Return the chance of a difference between two shares of the same rows, by the rows where the models differ.

    McNemar's test in its mid-p form: each of these rows is one of *first* or of *second* with a probability of one
    half, and the observed numbers count by half.

    Args:
        first: Number of rows that only one model has right.
        second: Number of rows that only the other has right.

    References:
        Fagerland, Lydersen and Laake, The McNemar Test for Binary Matched-pairs Data: Mid-p and Asymptotic Are Better
        than Exact Conditional, 2013.

    >>> round(mid_p(3, 12), 4)
    0.0213
    """
    n, most = first + second, max(first, second)
    if first == second:
        return 1.0
    if n > _MANY:
        return math.erfc(abs(first - second) / math.sqrt(2 * n))
    # The binomial tail is one of F: P(X >= k) = I(k, n - k + 1), at one half.
    reached = f_tail(most / (n - most + 1), 2 * (n - most + 1), 2 * most)
    same = math.exp(math.lgamma(n + 1) - math.lgamma(most + 1) - math.lgamma(n - most + 1) - n * math.log(2))
    return min(max(2 * reached - same, 0.0), 1.0)


def share_difference(first: int, second: int, rows: int) -> Estimate:
    """Return the difference between two shares of the same rows, as the second less the first.

    The interval is Wald's after one more row of either kind, so that models without a difference so far have one too.

    Args:
        first: Number of rows that only the first model has right.
        second: Number of rows that only the second has right.
        rows: Number of all rows.

    References:
        Bonett and Price, Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on Paired
        Data, 2012.

    >>> [round(number, 4) for number in share_difference(3, 12, 100)]
    [0.09, 0.0109, 0.1656]
    """
    if rows <= 0:
        return NOTHING
    value = (second - first) / rows
    one, other = (first + 1) / (rows + 2), (second + 1) / (rows + 2)
    half = BAND * math.sqrt((one + other - (other - one) ** 2) / (rows + 2))
    middle = other - one
    # Neither beyond the ends of a difference of shares, nor without the value itself.
    low, high = max(middle - half, -1.0), min(middle + half, 1.0)
    return Estimate(value, min(low, value), max(high, value))


def difference(value: float, parts: Floats, least: float = 0.0) -> Estimate:
    """Return a difference that is a sum of parts of rows, with an interval by Student's t.

    Args:
        value: Difference.
        parts: Part of each row; their mean may be any.
        least: Part of one row at most; two such rows, one of either sign, are added. 0 adds none.
    """
    n = len(parts)
    if not math.isfinite(value):
        return NOTHING
    if n < 2:
        return Estimate(value)
    variance = n * float(np.var(parts, ddof=1)) + 2 * least * least
    half = student_limit(n - 1) * math.sqrt(variance)
    return Estimate(value, value - half, value + half)


def sum_chance(parts: ArrayLike) -> float:
    """Return the chance of a sum of rows' parts so far from 0, on either side, for equally good models.

    The larger one of two: by exchange, z = Σd/√Σd²; and by Hall's transformation of Student's t, which allows for
    skewness: two models with one mean loss need not be exchangeable. The first does not trust rare large parts, the
    second does not trust many small ones against them.

    Args:
        parts: Part of each row in the difference, shape (rows,).

    References:
        Fisher, The Design of Experiments, 1935 (exchange); Hall, On the Removal of Skewness by Transformation, 1992.

    >>> round(sum_chance([1.0, 2.0, 3.0, 4.0, 5.0] * 2), 4)
    0.0042
    """
    d = np.asarray(parts, dtype=np.float64)
    n, largest = len(d), float(np.max(np.abs(d), initial=0.0))
    if n < 2 or largest == 0:
        return 1.0
    d = d / largest  # so that squares neither vanish nor overflow
    by_exchange = math.erfc(abs(float(d.sum())) / math.sqrt(2 * float(d @ d)))
    spread = float(d.std())
    if spread == 0:
        return by_exchange
    skewness, t = float(np.mean((d - d.mean()) ** 3)) / spread**3, float(d.mean()) / spread
    halls = t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / (6 * n)
    return max(by_exchange, f_tail(n * halls**2, 1, n - 1))


# --- ranking ---------------------------------------------------------------------------------------------------------


def ranking_parts(scores: Floats, is_positive: NDArray[np.bool_]) -> Floats:
    """Return the share of rows of the other class that each row is ranked rightly against, shape (rows,).

    Ties count one half. The mean over either class is the AUC.

    Args:
        scores: Score of each row.
        is_positive: Whether it is positive; both classes must have rows.

    References:
        DeLong, DeLong and Clarke-Pearson, Comparing the Areas under Two or More Correlated ROC Curves, 1988.
    """
    parts = np.empty(len(scores))
    for own, sign in ((is_positive, 1.0), (~is_positive, -1.0)):
        others = np.sort(sign * scores[~own])
        mine = sign * scores[own]
        below = np.searchsorted(others, mine, "left") + np.searchsorted(others, mine, "right")
        parts[own] = below / (2 * len(others))
    return parts


def ranking_difference(first: Floats, second: Floats) -> tuple[float, Estimate]:
    """Return the chance of a difference between two AUCs of the same rows, on either side, and the difference.

    Both are by Student's t with DeLong's error, √(s₁²/P + s₂²/N), and Welch's degrees of freedom.

    Args:
        first: Differences of `ranking_parts` of the P positive rows, of two models; their mean is the difference.
        second: Differences of the N negative rows, with the same mean.

    References:
        DeLong et al., 1988; Welch, The Generalization of Student's Problem when Several Different Population Variances
        Are Involved, 1947.
    """
    value, sizes = float(first.mean()), [len(first), len(second)]
    if min(sizes) < 2:
        return 1.0, Estimate(value)
    variances = [float(np.var(each, ddof=1)) / len(each) for each in (first, second)]
    variance = sum(variances)
    if variance == 0:
        return float(value == 0), Estimate(value, value, value)
    degrees = variance**2 / sum(each**2 / (size - 1) for each, size in zip(variances, sizes, strict=True))
    half = student_limit(max(int(degrees), 1)) * math.sqrt(variance)
    ends = Estimate(value, max(value - half, -1.0), min(value + half, 1.0))
    return f_tail(value**2 / variance, 1, degrees), ends
