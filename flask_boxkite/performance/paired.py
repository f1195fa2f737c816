"""Metrics of two models on the same rows, side by side, with the difference between them.

The first model is the champion, the second the challenger. Rows are at hand, so all values are exact. A row counts as
independent of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.performance import intervals
from flask_boxkite.performance.exchange import (
    difference,
    mid_p,
    ranking_difference,
    ranking_parts,
    share_difference,
    sum_chance,
)
from flask_boxkite.performance.metric import NOTHING, Estimate, estimate
from flask_boxkite.performance.ranking import ranking
from flask_boxkite.performance.regression import ErrorSums, realised

__all__ = ["HIGHER_IS_BETTER", "PairedMetric", "of_binary", "of_classes", "of_regression"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Numbers = NDArray[np.int64]

HIGHER_IS_BETTER = {
    **dict.fromkeys(("accuracy", "precision", "recall", "f1", "auc"), True),
    **dict.fromkeys(("brier", "log_loss", "mae", "rmse"), False),
}
"""Direction of each metric; the bias has none."""


class PairedMetric(NamedTuple):
    """A metric of two models on the same rows.

    Attributes:
        name: Name of the metric.
        champion: Value of the first model, with its interval.
        challenger: Value of the second model.
        difference: Second less first, with its interval.
        chance: Probability of a difference at least so large between equally good models; None without a test.
        rows: Number of rows on which the metric rests: the actual positives for recall, for example.
    """

    name: str
    champion: Estimate
    challenger: Estimate
    difference: Estimate
    chance: float | None
    rows: int


# --- two actual values -----------------------------------------------------------------------------------------------


def of_binary(scores: Floats, predicted: Bools, is_positive: Bools, losses: Floats | None) -> Iterator[PairedMetric]:
    """Yield the metrics of two scores.

    Args:
        scores: Scores of either model, shape (2, rows).
        predicted: Whether the model predicts the row to be positive, by its own threshold, shape (2, rows).
        is_positive: Whether the row is positive, shape (rows,).
        losses: Brier and logarithmic loss of each row, shape (2 losses, 2 models, rows); None if the scores of a model
            are no probabilities.
    """
    yield _shares("accuracy", predicted == is_positive)
    hits = (predicted & is_positive).astype(np.float64)
    yield _ratio("precision", hits, predicted.astype(np.float64), int(predicted.any(axis=0).sum()))
    yield _shares("recall", predicted[:, is_positive])
    either = predicted.astype(np.float64) + is_positive
    yield _ratio("f1", 2 * hits, either, int(np.count_nonzero(either.any(axis=0))))
    yield _auc(scores, is_positive)
    for name, of_rows in zip(("brier", "log_loss"), () if losses is None else losses, strict=False):
        yield _means(name, of_rows)


def _shares(metric: str, is_right: Bools) -> PairedMetric:
    """Compare two shares of the same rows."""
    rows = is_right.shape[1]
    champion, challenger = (intervals.of_share(metric, float(each), rows) for each in is_right.sum(axis=1))
    only_first, only_second = (int(np.count_nonzero(one & ~other)) for one, other in (is_right, is_right[::-1]))
    return PairedMetric(
        metric,
        champion,
        challenger,
        share_difference(only_first, only_second, rows),
        mid_p(only_first, only_second) if rows else None,
        rows,
    )


def _ratio(metric: str, dividends: Floats, divisors: Floats, rows: int) -> PairedMetric:
    """Compare two ratios Σx/Σy, by the part (x - r·y)/Σy of each row.

    For the test, r is of both models together and Σy is left out, so that an exchange of the models in a row only
    changes the sign of its part. Of precision, z is Kosinski's times 2·√(P·Q)/(P + Q), with P and Q predicted
    positives. For the interval, r and Σy are each model's own (delta method).

    References:
        Kosinski, A Weighted Generalized Score Statistic for Comparison of Predictive Values of Diagnostic Tests, 2013.
    """
    above, below = dividends.sum(axis=1), divisors.sum(axis=1)
    champion, challenger = (_of_ratio(metric, *pair) for pair in zip(above.tolist(), below.tolist(), strict=True))
    if not below.all():
        return PairedMetric(metric, champion, challenger, NOTHING, None, 0)
    ratios = above / below
    parts = (dividends - ratios[:, None] * divisors) / below[:, None]
    exchanged = dividends - above.sum() / below.sum() * divisors
    value = float(ratios[1] - ratios[0])
    found = _clipped(difference(value, parts[1] - parts[0], least=1 / float(below.min())))
    return PairedMetric(metric, champion, challenger, found, sum_chance(exchanged[1] - exchanged[0]), rows)


def _of_ratio(metric: str, above: float, below: float) -> Estimate:
    if metric == "f1":  # above is twice the number of true positives, below that and the wrong rows
        return intervals.of_f1(above / 2, below - above)
    return intervals.of_share(metric, above, below)


def _auc(scores: Floats, is_positive: Bools) -> PairedMetric:
    positives = int(is_positive.sum())
    rarer = min(positives, len(is_positive) - positives)
    if rarer == 0:
        return _undefined("auc")
    first, second = (ranking_parts(each, is_positive) for each in scores)
    parts = second - first
    chance, found = ranking_difference(parts[is_positive], parts[~is_positive])
    champion, challenger = (intervals.of_auc(ranking(*_by_score(each, is_positive))) for each in scores)
    return PairedMetric("auc", champion, challenger, found, chance, rarer)


def _by_score(scores: Floats, is_positive: Bools) -> tuple[Numbers, Numbers]:
    """Return the negative and the positive rows of each distinct score, the lowest first."""
    distinct, places = np.unique(scores, return_inverse=True)
    negatives, positives = (
        np.bincount(places[chosen], minlength=len(distinct)) for chosen in (~is_positive, is_positive)
    )
    return negatives, positives


# --- classes ---------------------------------------------------------------------------------------------------------


def of_classes(predicted: Numbers, actual: Numbers, classes: int) -> Iterator[PairedMetric]:
    """Yield the metrics of two predicted classes; precision, recall and F1 are macro averages.

    Args:
        predicted: Class that either model predicts, shape (2, rows).
        actual: Actual class, shape (rows,).
        classes: Number of classes.
    """
    yield _shares("accuracy", predicted == actual)
    rows = len(actual)
    tables = [
        np.bincount(each * classes + actual, minlength=classes**2).reshape(classes, classes).astype(np.float64)
        for each in predicted
    ]
    of_both = _slopes((tables[0] + tables[1]) / 2)
    of_each = [_slopes(table) for table in tables]
    for name in ("precision", "recall", "f1"):
        if not rows:
            yield _undefined(name)
            continue
        values = [each[name][0] for each in of_each]
        parts = [each[name][1][guess, actual] for each, guess in zip(of_each, predicted, strict=True)]
        champion, challenger = (_in_range(name, difference(*pair)) for pair in zip(values, parts, strict=True))
        found = _clipped(difference(values[1] - values[0], parts[1] - parts[0], least=1 / rows))
        slopes = of_both[name][1]
        exchanged = slopes[predicted[1], actual] - slopes[predicted[0], actual]
        yield PairedMetric(name, champion, challenger, found, sum_chance(exchanged), rows)


def _slopes(table: Floats) -> dict[str, tuple[float, Floats]]:
    """Return the macro averages, and how much one more row per predicted and actual class adds to each.

    Args:
        table: Rows per predicted and actual class, shape (classes, classes).
    """
    guessed, actual, right = table.sum(axis=1), table.sum(axis=0), np.diag(table)
    number = max(np.count_nonzero(guessed + actual), 1)
    is_right = np.eye(len(table))
    per_guessed, per_actual, per_either = (
        np.divide(1.0, each, out=np.zeros_like(each), where=each > 0) for each in (guessed, actual, guessed + actual)
    )
    precisions, recalls, f1s = right * per_guessed, right * per_actual, 2 * right * per_either
    weighted = f1s * per_either
    slopes = {
        "precision": (is_right - precisions[:, None]) * per_guessed[:, None],
        "recall": (is_right - recalls) * per_actual,
        "f1": 2 * is_right * per_either - weighted[:, None] - weighted,
    }
    values = {"precision": precisions, "recall": recalls, "f1": f1s}
    return {name: (float(values[name].sum() / number), slopes[name] / number) for name in slopes}


# --- numbers ---------------------------------------------------------------------------------------------------------


def of_regression(errors: Floats) -> Iterator[PairedMetric]:
    """Yield the metrics of two predicted numbers.

    Args:
        errors: Output less actual value of either model, shape (2, rows).
    """
    rows = errors.shape[1]
    if not rows:
        yield from map(_undefined, ("mae", "rmse", "bias"))
        return
    own = [realised(_sums(each)) for each in errors]
    for name, parts, chance in (
        ("mae", np.abs(errors) / rows, sum_chance(np.diff(np.abs(errors), axis=0)[0])),
        ("rmse", _root_parts(errors), sum_chance(np.diff(errors**2, axis=0)[0])),
        ("bias", errors / rows, None),
    ):
        first, second = (each[name] for each in own)
        assert first.value is not None
        assert second.value is not None
        found = difference(second.value - first.value, parts[1] - parts[0])
        yield PairedMetric(name, first, second, found, chance, rows)


def _sums(errors: Floats) -> ErrorSums:
    over, under = (float(np.maximum(each, 0.0).sum()) for each in (errors, -errors))
    return ErrorSums(len(errors), over, under, float(errors @ errors))


def _root_parts(errors: Floats) -> Floats:
    """Return the part of each row in the root mean squared error, e²/(2·n·rmse) (delta method)."""
    squares = errors**2
    roots = np.sqrt(squares.mean(axis=1, keepdims=True))
    parts: Floats = squares / (2 * errors.shape[1] * np.where(roots > 0, roots, 1.0))
    return parts


def _means(metric: str, losses: Floats) -> PairedMetric:
    """Compare two mean losses of the same rows, shape (2, rows)."""
    rows = losses.shape[1]
    if not rows:
        return _undefined(metric)
    champion, challenger = (intervals.of_mean(metric, float(each.sum()), float(each.var()), rows) for each in losses)
    parts = (losses[1] - losses[0]) / rows
    found = difference(float(parts.sum()), parts)
    return PairedMetric(metric, champion, challenger, found, sum_chance(parts), rows)


def _undefined(metric: str) -> PairedMetric:
    return PairedMetric(metric, NOTHING, NOTHING, NOTHING, None, 0)


def _in_range(metric: str, found: Estimate) -> Estimate:
    return estimate(metric, *(math.nan if number is None else number for number in found))


def _clipped(found: Estimate) -> Estimate:
    """Return a difference of shares, whose interval ends at -1 and 1."""
    if found.low is None or found.high is None:
        return found
    return Estimate(found.value, max(found.low, -1.0), min(found.high, 1.0))
