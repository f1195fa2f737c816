"""Validations and counts of rows, as a service makes them, but straight from arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, MeanLosses, RegressionValidation

__all__ = [
    "binary_of",
    "bins_of",
    "bounds_of",
    "cells_of",
    "classes_of",
    "losses_of",
    "means_of",
    "regression_of",
    "table_of",
]

Floats = NDArray[np.float64]


def bounds_of(scores: Floats, threshold: float) -> Floats:
    """Return deciles, a grid of 0.05 and the largest float below the threshold."""
    deciles = np.quantile(scores, np.arange(1, 10) / 10)
    edges = np.unique(np.concatenate([deciles, np.arange(1, 21) / 20]))
    return np.unique(np.append(edges[edges != threshold], np.nextafter(threshold, -math.inf)))


def bins_of(values: Floats, bounds: Any) -> NDArray[np.intp]:
    """Return the bin ``(lower, upper]`` of each value."""
    return np.searchsorted(np.asarray(bounds), values, side="left")


def means_of(values: Floats, at: NDArray[np.intp], bins: int) -> tuple[float, ...]:
    """Return the mean of the values in each bin; NaN in an empty one."""
    rows = np.bincount(at, minlength=bins)
    sums = np.bincount(at, values, bins)
    return tuple(sums[each] / rows[each] if rows[each] else math.nan for each in range(bins))


def binary_of(
    scores: Floats, actual: NDArray[Any], *, threshold: float = 0.5, bounds: Any = None, effects: Any = None
) -> BinaryValidation:
    """Return the validation of scores, which are probabilities."""
    bounds = bounds_of(scores, threshold) if bounds is None else np.asarray(bounds)
    at, bins = bins_of(scores, bounds), len(bounds) + 1
    cells = cells_of(scores, actual, bounds)
    return BinaryValidation(
        "p",
        threshold,
        "yes",
        "no",
        tuple(bounds.tolist()),
        tuple(cells[:, 0].tolist()),
        tuple(cells[:, 1].tolist()),
        losses_of(scores, actual, at, bins),
        effects=effects,
    )


def losses_of(scores: Floats, actual: NDArray[Any], at: NDArray[np.intp], bins: int) -> MeanLosses:
    """Return the mean losses of rows in bins, row by row as scikit-learn has them."""
    inside = np.clip(scores, np.finfo(float).eps, 1 - np.finfo(float).eps)
    briers, logs = (scores**2, (scores - 1) ** 2), (-np.log1p(-inside), -np.log(inside))
    sides = actual == 0, actual == 1

    def by_class(losses: tuple[Floats, Floats]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        negative, positive = (means_of(loss[side], at[side], bins) for loss, side in zip(losses, sides, strict=True))
        return negative, positive

    return MeanLosses(by_class(briers), by_class(logs), by_class((logs[0] ** 2, logs[1] ** 2)))


def cells_of(scores: Floats, actual: NDArray[Any], bounds: Any) -> NDArray[np.int64]:
    """Return rows per bin and actual value, shape (bins, 2)."""
    at, bins = bins_of(scores, bounds), len(bounds) + 1
    return np.bincount(2 * at + actual.astype(int), minlength=2 * bins).reshape(bins, 2)


def classes_of(
    predicted: NDArray[Any], confidence: Floats, actual: NDArray[Any], classes: int, *, bounds: Any, effects: Any = None
) -> ClassValidation:
    """Return the validation of predicted classes, which are numbers from 0 on."""
    counts = table_of(predicted, confidence, actual, classes, bounds)
    return ClassValidation(
        tuple(f"p{each}" for each in range(classes)),
        tuple(map(str, range(classes))),
        tuple(np.asarray(bounds, dtype=float).tolist()),
        tuple(tuple(tuple(row) for row in bins) for bins in counts.tolist()),
        effects,
    )


def table_of(
    predicted: NDArray[Any], confidence: Floats, actual: NDArray[Any], classes: int, bounds: Any
) -> NDArray[np.int64]:
    """Return rows per predicted class, bin and actual class."""
    bins = len(bounds) + 1
    at = (predicted * bins + bins_of(confidence, bounds)) * classes + actual
    return np.bincount(at, minlength=classes * bins * classes).reshape(classes, bins, classes)


def regression_of(
    output: Floats, actual: Floats, *, bounds: Any = None, error_bounds: Any = None, effects: Any = None
) -> RegressionValidation:
    """Return the validation of predicted numbers."""
    bounds = np.unique(np.quantile(output, np.arange(1, 11) / 10)) if bounds is None else np.asarray(bounds)
    error = output - actual
    if error_bounds is None:
        error_bounds = np.unique(np.quantile(np.abs(error), np.arange(1, 10) / 10))
    at, bins = bins_of(output, bounds), len(bounds) + 1
    return RegressionValidation(
        "y",
        tuple(np.asarray(bounds, dtype=float).tolist()),
        tuple(np.bincount(at, minlength=bins).tolist()),
        means_of(error, at, bins),
        means_of(np.abs(error), at, bins),
        means_of(error**2, at, bins),
        tuple(np.asarray(error_bounds, dtype=float).tolist()),
        tuple(np.bincount(bins_of(np.abs(error), error_bounds), minlength=len(error_bounds) + 1).tolist()),
        effects,
    )
