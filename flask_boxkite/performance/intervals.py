"""Intervals of 95 % around metrics of rows whose actual values are known."""

from __future__ import annotations

import math

from flask_boxkite.drift.statistics import f_limit
from flask_boxkite.performance.metric import BAND, NOTHING, Estimate, estimate
from flask_boxkite.performance.ranking import Ranking

__all__ = ["LEAST_FAULT", "LEAST_ROWS", "of_auc", "of_f1", "of_mean", "of_share", "student_limit"]

LEAST_FAULT = 1e-12
"""Least share of pairs out of order: below it, floats hardly tell the AUC from 1."""

LEAST_ROWS = 30
"""Fewest rows for an interval that rests on their variance, where rare rows make most of it: of losses of scores, and
of averages over classes. Three rows that are right would promise that all are."""


def of_share(metric: str, hits: float, rows: float) -> Estimate:
    """Return a share of rows with its score interval.

    References:
        Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.

    >>> [round(number, 4) for number in of_share("accuracy", 9, 10)]
    [0.9, 0.5958, 0.9821]
    """
    if rows <= 0:
        return NOTHING
    share, u = hits / rows, BAND**2 / rows
    middle = (share + u / 2) / (1 + u)
    half = math.sqrt(u * share * (1 - share) + u * u / 4) / (1 + u)
    # Rounding must not put the share itself outside.
    return estimate(metric, share, min(middle - half, share), max(middle + half, share))


def of_f1(true_positives: float, errors: float) -> Estimate:
    """Return F1 with an interval, by way of TP/(TP + FP + FN).

    That is the share of true positives among the rows that are predicted or actual positives, F1/(2 - F1). Its score
    interval, transformed back, is one of F1.

    Args:
        true_positives: Number TP of true positives.
        errors: Number FP + FN of rows with a wrong prediction.

    References:
        Lam, Gopal and Qian, Confidence Intervals for the F1 Score: A Comparison of Four Methods, 2023.

    >>> of_f1(9, 2).value
    0.9
    """
    _, low, high = of_share("f1", true_positives, true_positives + errors)
    if low is None or high is None:
        return NOTHING
    value = 2 * true_positives / (2 * true_positives + errors)
    return estimate("f1", value, 2 * low / (1 + low), 2 * high / (1 + high))


def of_auc(ranked: Ranking) -> Estimate:
    """Return the AUC with an interval on the logit scale, which it does not leave.

    The standard error is DeLong's, times Student's limit with one degree less than there are rows of the rarer class.
    Where it is 0 or unknown, as of a ranking without a fault, the interval is the one of a share of so many rows.

    References:
        DeLong et al., 1988; Qin and Hotilovac, Comparison of Non-parametric Confidence Intervals for the Area under the
        ROC Curve of a Continuous-scale Diagnostic Test, 2008 (logit).
    """
    value, variance = float(ranked.auc), float(ranked.variance())
    if math.isnan(value):
        return NOTHING
    rarer = int(min(ranked.positives, ranked.negatives))
    is_inside = LEAST_FAULT < value < 1 - LEAST_FAULT
    if rarer < 2 or variance <= 0 or not is_inside:
        return of_share("auc", value * rarer, rarer)
    half = student_limit(rarer - 1) * math.sqrt(variance) / (value * (1 - value))
    middle = math.log(value / (1 - value))
    low, high = (1 / (1 + math.exp(-min(max(end, -700.0), 700.0))) for end in (middle - half, middle + half))
    return estimate("auc", value, min(low, value), max(high, value))


def of_mean(metric: str, total: float, variance: float, rows: int) -> Estimate:
    """Return a mean with its interval by Student's t; without one for a single row.

    Args:
        metric: Name of the metric.
        total: Sum of the rows' values.
        variance: Mean squared distance of a row from the mean.
        rows: Number of rows.

    References:
        Student, The Probable Error of a Mean, 1908.

    >>> [round(number, 4) for number in of_mean("mae", 20.0, 0.4, 10)]
    [2.0, 1.5231, 2.4769]
    """
    if rows <= 0:
        return NOTHING
    mean = total / rows
    if rows < 2:
        return estimate(metric, mean)
    half = math.sqrt(max(variance, 0.0) / (rows - 1)) * student_limit(rows - 1)
    return estimate(metric, mean, mean - half, mean + half)


def student_limit(degrees: int) -> float:
    """Return the absolute value that Student's t exceeds with a probability of 5 %.

    >>> round(student_limit(10), 3)
    2.228
    """
    return math.sqrt(f_limit(0.05, 1, degrees)) if degrees < 1000 else BAND
