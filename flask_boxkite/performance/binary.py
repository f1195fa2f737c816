"""Quality of a score with two actual values: as validated, expected from live scores, and as outcomes show it.

`expected` holds while the relation of score to truth is the one of the validation rows. `realised` needs outcomes, and
`represented` corrects them where they are a selection of the predictions, by the score. All take counts in the bins of
the output, from the lowest score to the highest, and return the metrics of ``METRICS["binary"]``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.baseline.validation import BinaryValidation
from flask_boxkite.performance import intervals
from flask_boxkite.performance.metric import METRICS, NOTHING, Estimate, banded, estimate, ratio
from flask_boxkite.performance.ranking import auc_slopes, ranking

__all__ = [
    "PSEUDO_OUTCOMES",
    "LossSums",
    "corrected",
    "expected",
    "losses_of_rows",
    "positive_shares",
    "realised",
    "represented",
    "validated",
]

PSEUDO_OUTCOMES = 5
"""Outcomes that the validation rows of a bin count for, beside the bin's real outcomes."""

Floats = NDArray[np.float64]


class LossSums(NamedTuple):
    """Sums of losses over rows whose actual value is known.

    Attributes:
        brier: Sum of (score - actual)², with 1 for a positive row and 0 for a negative one.
        log_loss: Sum of minus the logarithm of the probability that the score gives to the actual value.
    """

    brier: float
    log_loss: float


def expected(validation: BinaryValidation, live: ArrayLike) -> dict[str, Estimate]:
    """Return the metrics that live scores lead to expect, without outcomes.

    A bin of n live rows has n·p positives, where p is the isotonic share of the validation rows. The band is meant to
    hold the realised metric: it allows for the sampling of live rows, n·r(1 - r), and of the N validation rows in the
    bin, n²·r(1 - r)/(N + 1), where r = (N·p + π)/(N + 1) and π is the share of all rows. The variance of a loss, which
    also differs between rows of the same actual value, takes the place of r(1 - r). The band does not allow for a shift
    of scores within a bin.

    Args:
        validation: Validation of the model.
        live: Live rows per bin, shape (bounds + 1,).

    References:
        Kivimäki et al., Confidence-based Estimators for Predictive Performance in Model Monitoring, 2024.
    """
    rows, trained = np.asarray(live, dtype=np.float64), validation.calibration
    weights = rows + rows * rows / (trained.rows + 1)
    return _of_positives(validation, rows, rows * trained.shares, trained.doubtful, weights)


def corrected(
    validation: BinaryValidation, live: ArrayLike, groups: ArrayLike, grouped: int | None = None
) -> dict[str, float | None]:
    """Return expected metrics that also allow for the features of the rows; they have no band.

    To the expected positives among the rows of each predicted class come the effects of the groups of all rows. That
    says nothing of single bins, so AUC and losses are None, and all metrics are if the validation has no effects.

    Args:
        validation: Validation of the model.
        live: Live rows per bin, shape (bounds + 1,).
        groups: Live rows per group of each feature, shape (groups,).
        grouped: Number of rows that *groups* counts; None for all of *live*.
    """
    found: dict[str, float | None] = dict.fromkeys(METRICS["binary"])
    if validation.effects is None:
        return found
    first, rows = validation.first_positive, np.asarray(live, dtype=np.float64)
    n = float(rows.sum())
    effects = np.asarray(validation.effects) @ np.asarray(groups, dtype=np.float64)
    effects = effects * n / max(n if grouped is None else grouped, 1.0)

    positives, by_class = rows * validation.calibration.shares, _by_class(rows, first)
    missed, hits = np.clip(_by_class(positives, first) + effects, 0.0, by_class).tolist()
    values = _of_predictions(hits, missed, *by_class.tolist())
    return found | {name: estimate(name, value).value for name, value in values.items()}


def _by_class(of_bins: Floats, first_positive: int) -> Floats:
    """Return the sums of the bins that are predicted negative, and positive."""
    return np.array([of_bins[:first_positive].sum(), of_bins[first_positive:].sum()])


def realised(validation: BinaryValidation, outcomes: ArrayLike, losses: LossSums | None = None) -> dict[str, Estimate]:
    """Return the metrics of rows whose actual value is known.

    Accuracy, precision, recall and F1 are exact. The AUC takes rows of one bin to be in order as often as validation
    rows. How far it is from the one of the rows depends on the rarer actual value: usually 0.004 with 100 rows of it,
    0.008 with 30 and 0.015 with 10, a fraction of the interval. Losses are exact if their sums are given; they have no
    interval for fewer than `intervals.LEAST_ROWS` rows.

    Args:
        validation: Validation of the model.
        outcomes: Rows per bin that are negative, and that are positive, shape (bounds + 1, 2).
        losses: Sums of losses over the rows; None for the mean losses of the validation rows in their bins.

    References:
        Wilson, 1927 (shares); Lam, Gopal and Qian, 2023 (F1); DeLong et al., 1988 (AUC).
    """
    counts = np.asarray(outcomes, dtype=np.float64)
    rows, positives = counts.sum(axis=1), counts[:, 1]
    first, n = validation.first_positive, float(rows.sum())
    tp, fn = float(positives[first:].sum()), float(positives[:first].sum())
    predicted = float(rows[first:].sum())
    wrong = predicted - tp + fn
    found = {
        "accuracy": intervals.of_share("accuracy", n - wrong, n),
        "precision": intervals.of_share("precision", tp, predicted),
        "recall": intervals.of_share("recall", tp, tp + fn),
        "f1": intervals.of_f1(tp, wrong),
        "auc": intervals.of_auc(ranking(counts[:, 0], positives, validation.known_areas)),
        "brier": NOTHING,
        "log_loss": NOTHING,
    }
    for metric, loss in validation.row_losses.items():
        of_bins = float(np.sum(counts * loss.means))
        variance = ratio(float(np.sum(counts * (loss.means**2 + loss.variances))), n) - ratio(of_bins, n) ** 2
        total = of_bins if losses is None else getattr(losses, metric)
        mean = intervals.of_mean(metric, total, variance, int(n))
        found[metric] = mean if n >= intervals.LEAST_ROWS else Estimate(mean.value)
    return found


def represented(validation: BinaryValidation, live: ArrayLike, outcomes: ArrayLike) -> dict[str, Estimate]:
    """Return the metrics of all live rows, from outcomes of some of them.

    Outcomes are often a selection: the unsure rows, or those with a high score. In each bin, the live rows without an
    outcome have the share of positives of those with one, shrunk towards the validation rows by `PSEUDO_OUTCOMES`. So
    few outcomes say little more than `expected` does. That repairs a selection by the score, and in part by features
    that go with the score; a selection by the outcome itself is beyond repair.

    Args:
        validation: Validation of the model.
        live: Live rows per bin, shape (bounds + 1,), those with an outcome included.
        outcomes: Rows per bin that are negative, and that are positive, shape (bounds + 1, 2).

    References:
        Holt and Smith, Post Stratification, 1979.
    """
    counts = np.asarray(outcomes, dtype=np.float64)
    known, hits = counts.sum(axis=1), counts[:, 1]
    rows = np.maximum(np.asarray(live, dtype=np.float64), known)
    shares = (hits + PSEUDO_OUTCOMES * validation.calibration.shares) / (known + PSEUDO_OUTCOMES)
    weights = rows * rows / (known + PSEUDO_OUTCOMES + 1)
    return _of_positives(validation, rows, hits + (rows - known) * shares, shares, weights)


def validated(validation: BinaryValidation) -> dict[str, Estimate]:
    """Return the metrics of the validation rows."""
    return realised(validation, np.transpose([validation.negatives, validation.positives]))


def positive_shares(validation: BinaryValidation) -> Floats:
    """Return the expected share of positive rows in each bin, shape (bounds + 1,)."""
    return validation.calibration.shares


def losses_of_rows(validation: BinaryValidation) -> dict[str, Floats]:
    """Return the expected losses of a row in each bin, by the names of `LossSums`, each of shape (bounds + 1,).

    Without any if the scores are no probabilities.
    """
    shares = positive_shares(validation)
    by_class = np.column_stack([1 - shares, shares])
    return {metric: np.sum(by_class * loss.means, axis=1) for metric, loss in validation.row_losses.items()}


def _of_positives(
    validation: BinaryValidation, rows: Floats, positives: Floats, shares: Floats, weights: Floats
) -> dict[str, Estimate]:
    """Return the metrics of rows per bin, given the number of positives among them.

    Args:
        validation: Validation of the model.
        rows: Rows per bin.
        positives: Positive rows per bin.
        shares: Share r of positive rows, of which their number has the variance r(1 - r) per row.
        weights: Factor of that variance.
    """
    n = float(rows.sum())
    if n <= 0:
        return dict.fromkeys(METRICS["binary"], NOTHING)

    first, variances = validation.first_positive, shares * (1 - shares) * weights
    hits, missed, predicted = (float(each.sum()) for each in (positives[first:], positives[:first], rows[first:]))
    of_hits, of_missed = float(variances[first:].sum()), float(variances[:first].sum())
    values = _of_predictions(hits, missed, n - predicted, predicted)
    errors = _errors_of_predictions(hits, missed, n, predicted, of_hits, of_missed)
    found = {metric: banded(metric, value, errors[metric]) for metric, value in values.items()}

    auc, slopes = auc_slopes(rows - positives, positives, validation.known_areas)
    found["auc"] = banded("auc", float(auc), math.sqrt(float(np.sum(slopes * slopes * variances))))
    found |= {"brier": NOTHING, "log_loss": NOTHING}
    by_class, doubtful = np.column_stack([rows - positives, positives]), np.column_stack([1 - shares, shares])
    for metric, loss in validation.row_losses.items():
        value = float(np.sum(by_class * loss.means)) / n
        between = variances @ (loss.means[:, 1] - loss.means[:, 0]) ** 2
        within = weights @ np.sum(doubtful * loss.variances, axis=1)
        found[metric] = banded(metric, value, math.sqrt(float(between + within)) / n)
    return found


def _of_predictions(hits: float, missed: float, negative: float, positive: float) -> dict[str, float]:
    """Return the metrics of predicted classes.

    Args:
        hits: Positive rows that are predicted positive.
        missed: Positive rows that are predicted negative.
        negative: Rows that are predicted negative.
        positive: Rows that are predicted positive.
    """
    actual = hits + missed
    return {
        "accuracy": ratio(hits + negative - missed, negative + positive),
        "precision": ratio(hits, positive),
        "recall": ratio(hits, actual),
        "f1": ratio(2 * hits, positive + actual),
    }


def _errors_of_predictions(
    hits: float, missed: float, n: float, predicted: float, of_hits: float, of_missed: float
) -> dict[str, float]:
    """Return the standard errors of the same metrics, given the variances of hits and missed (delta method)."""
    actual = hits + missed
    return {
        "accuracy": math.sqrt(of_hits + of_missed) / n,
        "precision": ratio(math.sqrt(of_hits), predicted),
        "recall": ratio(math.hypot(missed * math.sqrt(of_hits), hits * math.sqrt(of_missed)), actual**2),
        "f1": ratio(
            2 * math.hypot((predicted + missed) * math.sqrt(of_hits), hits * math.sqrt(of_missed)),
            (predicted + actual) ** 2,
        ),
    }
