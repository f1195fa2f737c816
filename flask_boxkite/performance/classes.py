"""Quality of a predicted class: as validated, expected from live outputs, and as outcomes show it.

The functions are the ones of `binary`, on counts per predicted class and bin of its probability. Precision, recall and
F1 are macro averages, as in scikit-learn: plain means over the classes that are predicted or actual; a class that is
never predicted has a precision of 0, one that never comes a recall of 0. Actual classes that validation never had are
one more class together, which is never predicted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.baseline.validation import ClassValidation
from flask_boxkite.performance import intervals
from flask_boxkite.performance.binary import PSEUDO_OUTCOMES
from flask_boxkite.performance.metric import METRICS, NOTHING, Estimate, banded, estimate

__all__ = ["actual_shares", "corrected", "expected", "realised", "represented", "validated"]

Floats = NDArray[np.float64]


def expected(validation: ClassValidation, live: ArrayLike) -> dict[str, Estimate]:
    """Return the metrics that live outputs lead to expect, without outcomes.

    Rows of a predicted class and bin have the actual classes of the validation rows there. As in `binary.expected`, the
    band allows for the sampling of live and of validation rows.

    Args:
        validation: Validation of the model.
        live: Live rows per predicted class and bin, shape (classes, bounds + 1).
    """
    rows, trained = np.asarray(live, dtype=np.float64), validation.calibration
    weights = rows + rows * rows / (trained.rows + 1)
    return _of_actual(rows[..., None] * trained.shares, trained.doubtful, weights)


def corrected(
    validation: ClassValidation, live: ArrayLike, groups: ArrayLike, grouped: int | None = None
) -> dict[str, float | None]:
    """Return the expected accuracy that also allows for the features of the rows; all other metrics are None.

    Args:
        validation: Validation of the model.
        live: Live rows per predicted class and bin, shape (classes, bounds + 1).
        groups: Live rows per group of each feature, shape (groups,).
        grouped: Number of rows that *groups* counts; None for all of *live*.
    """
    found: dict[str, float | None] = dict.fromkeys(METRICS["classes"])
    rows = np.asarray(live, dtype=np.float64)
    if validation.effects is None or rows.sum() <= 0:
        return found
    table = np.sum(rows[..., None] * validation.calibration.shares, axis=1)
    counted = float(rows.sum()) if grouped is None else grouped
    (effects,) = validation.effects
    effect = float(np.dot(effects, np.asarray(groups, dtype=np.float64))) / max(counted, 1.0)
    return found | {"accuracy": estimate("accuracy", float(np.diag(table).sum() / table.sum()) + effect).value}


def realised(validation: ClassValidation, outcomes: ArrayLike) -> dict[str, Estimate]:
    """Return the metrics of rows whose actual class is known; they are exact.

    Averages over classes have no interval for fewer than `intervals.LEAST_ROWS` rows. Where no row is wrong, they have
    the interval of a share of so many rows as the rarest class has.

    Args:
        validation: Validation of the model.
        outcomes: Rows per predicted class, bin and actual class, shape (classes, bounds + 1, classes), or with one
            actual class more: any that validation never had.

    References:
        Wilson, 1927 (accuracy); Takahashi et al., Confidence Interval for Micro-averaged F1 and Macro-averaged F1
        Scores, 2022 (macro averages, by the delta method).
    """
    table = _with_unseen(outcomes).sum(axis=1, keepdims=True)
    rows = table.sum(axis=2)
    doubtful = (table + _with_unseen(validation.calibration.overall[:, None])) / (rows[..., None] + 1)
    accuracy = intervals.of_share("accuracy", float(np.trace(table[:, 0])), float(rows.sum()))
    found = _of_actual(table, doubtful, rows) | {"accuracy": accuracy}
    if rows.sum() < intervals.LEAST_ROWS:
        return {metric: each if metric == "accuracy" else Estimate(each.value) for metric, each in found.items()}
    if accuracy.value == 1:
        of_classes = table.sum(axis=(0, 1))
        rarest = float(of_classes[of_classes > 0].min())
        found |= {metric: intervals.of_share(metric, rarest, rarest) for metric in ("precision", "recall", "f1")}
    return found


def represented(validation: ClassValidation, live: ArrayLike, outcomes: ArrayLike) -> dict[str, Estimate]:
    """Return the metrics of all live rows, from outcomes of some of them; see `binary.represented`.

    Args:
        validation: Validation of the model.
        live: Live rows per predicted class and bin, shape (classes, bounds + 1), those with an outcome included.
        outcomes: Rows per predicted class, bin and actual class, as of `realised`.
    """
    table = _with_unseen(outcomes)
    known = table.sum(axis=2)
    rows = np.maximum(np.pad(np.asarray(live, dtype=np.float64), ((0, 1), (0, 0))), known)
    shares = table + PSEUDO_OUTCOMES * _with_unseen(validation.calibration.shares)
    shares /= (known + PSEUDO_OUTCOMES)[..., None]
    weights = rows * rows / (known + PSEUDO_OUTCOMES + 1)
    return _of_actual(table + (rows - known)[..., None] * shares, shares, weights)


def validated(validation: ClassValidation) -> dict[str, Estimate]:
    """Return the metrics of the validation rows."""
    return realised(validation, validation.counts)


def actual_shares(validation: ClassValidation) -> Floats:
    """Return the expected share of each actual class in each bin, shape (classes, bounds + 1, classes)."""
    return validation.calibration.shares


def _with_unseen(counts: ArrayLike) -> Floats:
    """Return counts with one predicted and one actual class more, which stand for the classes of no validation row.

    Args:
        counts: Numbers per predicted class, bin and actual class, shape (classes, bins, classes or classes + 1).
    """
    own = np.asarray(counts, dtype=np.float64)
    classes, bins, actual = own.shape
    found = np.zeros((classes + 1, bins, classes + 1))
    found[:classes, :, :actual] = own
    return found


class _Averages(NamedTuple):
    """Metrics, and how each changes with one more row per predicted and actual class, (metrics, classes, classes)."""

    values: dict[str, float]
    slopes: Floats


def _of_actual(actual: Floats, shares: Floats, weights: Floats) -> dict[str, Estimate]:
    """Return the metrics, given the actual classes of the rows of each predicted class and bin.

    Args:
        actual: Rows per predicted class, bin and actual class, shape (classes, bins, classes).
        shares: Share of each actual class, of which actual classes have the covariance diag(r) - r·rᵀ per row.
        weights: Factor of that covariance, shape (classes, bins).
    """
    table = actual.sum(axis=1)
    if table.sum() <= 0:
        return dict.fromkeys(METRICS["classes"], NOTHING)
    values, slopes = _averages(table)
    of_rows = slopes[:, :, None]
    means = np.sum(shares * of_rows, axis=-1)
    spreads = np.sum(shares * of_rows**2, axis=-1) - means**2
    variances = np.sum((weights * spreads).reshape(len(values), -1), axis=-1)
    errors = np.sqrt(np.maximum(variances, 0.0)).tolist()
    return {metric: banded(metric, value, error) for (metric, value), error in zip(values.items(), errors, strict=True)}


def _averages(table: Floats) -> _Averages:
    predicted, actual, right = table.sum(axis=1), table.sum(axis=0), np.diag(table)
    n, classes = table.sum(), np.count_nonzero(predicted + actual > 0)
    is_right = np.eye(len(table))

    per_predicted, per_actual, per_either = (_inverse(rows) for rows in (predicted, actual, predicted + actual))
    recalls, f1s = right * per_actual, 2 * right * per_either
    return _Averages(
        {
            "accuracy": float(right.sum() / n),
            "precision": float(np.sum(right * per_predicted) / classes),
            "recall": float(recalls.sum() / classes),
            "f1": float(f1s.sum() / classes),
        },
        np.stack(
            [
                is_right / n,
                is_right * per_predicted[:, None] / classes,
                (is_right - recalls) * per_actual / classes,
                (2 * is_right - f1s) * per_either / classes,
            ]
        ),
    )


def _inverse(rows: Floats) -> Floats:
    """Return 1/rows; 0 for 0."""
    return np.where(rows > 0, 1 / np.where(rows > 0, rows, 1.0), 0.0)
