"""Comparisons of outcomes with validation rows, for the verdict on each kind of model.

Rows are compared within bins of the score, so outcomes may be a selection by the score, and inputs may have drifted: a
model is as validated if it is right as often as with such scores before. Outcomes that depend on the error itself, such
as complaints, cannot be compared.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, RegressionValidation
from flask_boxkite.live.outcome_cells import CAP, LargeErrors
from flask_boxkite.performance.metric import ratio
from flask_boxkite.performance.ranking import ranking
from flask_boxkite.performance.regression import ErrorSums
from flask_boxkite.performance.significance import capped_mean, mantel_haenszel, rank_trend, ranking_fall, signed_root
from flask_boxkite.performance.verdict import Comparison, Subject

__all__ = ["of_binary", "of_classes", "of_regression"]

LEAST_OF_CLASS = 50
"""Least rows of each class, in validation and among outcomes, for a comparison of the order: the variance rests on the
rarer class, and of a handful it is often far too small."""

Floats = NDArray[np.float64]


def of_binary(validation: BinaryValidation, outcomes: ArrayLike, dispersion: float = 1.0) -> list[Comparison]:
    """Compare wrong rows, the order of scores, and positive rows if the scores are probabilities.

    The order is left out where a class has fewer than `LEAST_OF_CLASS` rows.

    Args:
        validation: Validation of the model.
        outcomes: Rows per bin that are negative, and that are positive, shape (bounds + 1, 2).
        dispersion: Number of rows that count as one, see `significance.dispersion_of`.
    """
    trained = np.column_stack([validation.negatives, validation.positives]).astype(np.float64)
    live = np.where(trained.sum(axis=1, keepdims=True) > 0, np.asarray(outcomes, dtype=np.float64), 0.0)
    rows, trained_rows = live.sum(axis=1), trained.sum(axis=1)
    first = validation.first_positive
    wrong, trained_wrong = (np.concatenate([cells[:first, 1], cells[first:, 0]]) for cells in (live, trained))

    found = [_within_bins("wrong rows", wrong, rows, trained_wrong, trained_rows, dispersion)]
    expected = rows * trained[:, 1] / np.maximum(trained_rows, 1.0)
    before, now = (float(ranking(rows - hits, hits).auc) for hits in (expected, live[:, 1]))
    if not math.isnan(before) and min(live.sum(axis=0).min(), trained.sum(axis=0).min()) >= LEAST_OF_CLASS:
        z = ranking_fall(live[:, 0], live[:, 1], trained[:, 0], trained[:, 1], dispersion)
        found.append(Comparison("wrong order", float(z), 1 - before, 1 - now))
    if validation.is_probability:
        found.append(_within_bins("positives", live[:, 1], rows, trained[:, 1], trained_rows, dispersion))
    return found


def of_classes(validation: ClassValidation, outcomes: ArrayLike, dispersion: float = 1.0) -> list[Comparison]:
    """Compare wrong rows; of a class that validation never had, all are wrong.

    Args:
        validation: Validation of the model.
        outcomes: Rows per predicted class, bin and actual class, shape (classes, bounds + 1, classes), or with one
            actual class more: any that validation never had.
        dispersion: Number of rows that count as one.
    """
    live, trained = (np.asarray(counts, dtype=np.float64) for counts in (outcomes, validation.counts))
    wrong, rows, trained_wrong, trained_rows = (
        part.ravel() for counts in (live, trained) for part in (_wrong(counts), counts.sum(axis=2))
    )
    return [_within_bins("wrong rows", wrong, rows, trained_wrong, trained_rows, dispersion)]


def of_regression(
    validation: RegressionValidation,
    errors: ArrayLike,
    sums: ErrorSums,
    large: LargeErrors,
    dispersion: float = 1.0,
) -> list[Comparison]:
    """Compare absolute errors by their ranks, and large ones by their sum and number.

    Ranks see a change of most errors, but hardly one of a few. The outcomes must not be a selection by the output, if
    errors depend on it.

    Args:
        validation: Validation of the model.
        errors: Rows with an outcome per bin of the absolute error, shape (error bounds + 1,).
        sums: Sums of the errors of the same rows.
        large: Large errors among them.
        dispersion: Number of rows that count as one.
    """
    if sums.rows <= 0 or validation.rows <= 0:
        return []
    z = float(rank_trend(errors, validation.error_counts)) / math.sqrt(dispersion)
    before, now = validation.mean_error, (sums.over + sums.under) / sums.rows
    return [
        Comparison("absolute error", z, before, now),
        Comparison("large errors", _of_large(validation, sums.rows, large, dispersion), before, now),
    ]


def _of_large(validation: RegressionValidation, rows: int, large: LargeErrors, dispersion: float) -> float:
    """Return z of larger errors by their capped mean, or by errors beyond all of validation, whichever says more.

    No false alarm comes from errors beyond all: their limit is far above the largest error of validation.
    """
    root = math.sqrt(validation.mean_square)
    mean, square = (validation.mean_error / root / CAP, 1 / CAP**2) if root > 0 else (0.0, 0.0)
    capped = capped_mean(large.capped, rows, mean, square, validation.rows, dispersion)
    return max(float(capped), float(signed_root(large.beyond, rows, 0, validation.rows, dispersion)))


def _wrong(counts: Floats) -> Floats:
    """Return the wrong rows per predicted class and bin."""
    wrong: Floats = counts.sum(axis=2) - np.einsum("pbp->pb", counts[..., : len(counts)])
    return wrong


def _within_bins(
    subject: Subject, hits: Floats, rows: Floats, trained_hits: Floats, trained_rows: Floats, dispersion: float
) -> Comparison:
    """Compare the share of hits with the one that validation rows of the same bins had."""
    is_known = trained_rows > 0
    expected = np.where(is_known, rows * trained_hits / np.where(is_known, trained_rows, 1.0), 0.0).sum()
    number = float(rows[is_known].sum())
    z = mantel_haenszel(hits, rows, trained_hits, trained_rows, dispersion=dispersion)
    before, now = (ratio(float(each), number) for each in (expected, hits[is_known].sum()))
    return Comparison(subject, float(z), before, now)
