"""Quality of a predicted number: as validated, expected from live outputs, and as outcomes show it.

The error is the output less the actual value. All functions return the metrics of ``METRICS["regression"]``: mean
absolute error, root mean squared error, and bias, the mean error.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.baseline.validation import RegressionValidation
from flask_boxkite.performance import intervals
from flask_boxkite.performance.metric import BAND, METRICS, NOTHING, Estimate, banded, estimate

__all__ = ["ErrorSums", "corrected", "errors_of_rows", "expected", "realised", "validated"]

Floats = NDArray[np.float64]


class ErrorSums(NamedTuple):
    """Sums over rows whose actual value is known.

    Attributes:
        rows: Number of rows.
        over: Sum of the errors of outputs above the actual value.
        under: Sum of the other errors, as a positive number.
        squares: Sum of the squared errors.
    """

    rows: int
    over: float
    under: float
    squares: float


def expected(validation: RegressionValidation, live: ArrayLike) -> dict[str, Estimate]:
    """Return the metrics that live outputs lead to expect, without outcomes.

    Rows of a bin have the mean errors of the validation rows there. The band allows for the sampling of live and of
    validation rows: with n live and N validation rows in a bin, the variance of a row times n + n²/(N + 1). The
    variance of the squared error follows from the gamma distribution with the mean and variance of the absolute error.

    Args:
        validation: Validation of the model.
        live: Live rows per bin, shape (bounds + 1,).
    """
    rows = np.asarray(live, dtype=np.float64)
    n = float(rows.sum())
    if n <= 0:
        return dict.fromkeys(METRICS["regression"], NOTHING)

    moments = _Moments(validation)
    weights = rows + rows * rows / (np.asarray(validation.counts, dtype=np.float64) + 1)
    bias, mae, mse = (moments.means @ (rows / n)).tolist()
    of_bias, of_mae, of_mse = (np.sqrt(moments.variances @ weights) / n).tolist()
    # No root mean square is below the mean of the same absolute errors, so neither are its ends.
    low, high = (max(mse + side * of_mse, max(mae + side * of_mae, 0.0) ** 2) for side in (-BAND, BAND))
    return {
        "mae": banded("mae", mae, of_mae),
        "rmse": _rooted(mse, low, high),
        "bias": banded("bias", bias, of_bias),
    }


def corrected(
    validation: RegressionValidation, live: ArrayLike, groups: ArrayLike, grouped: int | None = None
) -> dict[str, float | None]:
    """Return expected metrics that also allow for the features of the rows; they have no band.

    All are None if the validation has no effects.

    Args:
        validation: Validation of the model.
        live: Live rows per bin, shape (bounds + 1,).
        groups: Live rows per group of each feature, shape (groups,).
        grouped: Number of rows that *groups* counts; None for all of *live*.
    """
    rows = np.asarray(live, dtype=np.float64)
    n = float(rows.sum())
    if validation.effects is None or n <= 0:
        return dict.fromkeys(METRICS["regression"])
    counted = n if grouped is None else grouped
    effects = np.asarray(validation.effects) @ np.asarray(groups, dtype=np.float64) / max(counted, 1.0)
    bias, mae, mse = (_Moments(validation).means @ (rows / n) + effects).tolist()
    return {
        "mae": estimate("mae", mae).value,
        "rmse": estimate("rmse", math.sqrt(max(mse, 0.0))).value,
        "bias": estimate("bias", bias).value,
    }


def realised(sums: ErrorSums) -> dict[str, Estimate]:
    """Return the metrics of rows whose actual value is known; they are exact.

    Intervals of means are Student's. The one of the root mean squared error is on the logarithmic scale, and takes the
    variance of the squared error to lie between the ones of gamma and log-normal absolute errors: rows of different
    outputs have more large errors together than each alone.
    """
    rows, over, under, squares = sums
    if rows <= 0:
        return dict.fromkeys(METRICS["regression"], NOTHING)

    mse, absolute, mean = squares / rows, (over + under) / rows, (over - under) / rows
    rmse = estimate("rmse", math.sqrt(mse))
    if rows > 1 and mse > 0:
        variances = [of(np.asarray(absolute), np.asarray(mse)) for of in (_gamma_variance, _log_normal_variance)]
        error = math.sqrt(math.sqrt(float(variances[0] * variances[1])) / (rows - 1)) / mse
        factor = math.exp(min(intervals.student_limit(rows - 1) * error, 700.0))
        rmse = _rooted(mse, mse / factor, mse * factor)
    return {
        "mae": intervals.of_mean("mae", over + under, mse - absolute**2, rows),
        "rmse": rmse,
        "bias": intervals.of_mean("bias", over - under, mse - mean**2, rows),
    }


def validated(validation: RegressionValidation) -> dict[str, Estimate]:
    """Return the metrics of the validation rows."""
    moments, counts = _Moments(validation), np.asarray(validation.counts, dtype=np.float64)
    bias, mae, mse = (moments.means @ counts).tolist()
    return realised(ErrorSums(validation.rows, (mae + bias) / 2, (mae - bias) / 2, mse))


def errors_of_rows(validation: RegressionValidation) -> dict[str, Floats]:
    """Return the expected error of a row in each bin, by the names of `ErrorSums`, each of shape (bounds + 1,)."""
    bias, mae, mse = _Moments(validation).means
    return {"over": (mae + bias) / 2, "under": (mae - bias) / 2, "squares": mse}


class _Moments:
    """The errors of a row in each bin of the output.

    Attributes:
        means: Means of error, absolute error and squared error, shape (3, bins); an empty bin lies on the line between
            its neighbours.
        variances: Variances of the same, one row of all bins added to each.
    """

    def __init__(self, validation: RegressionValidation) -> None:
        counts = np.asarray(validation.counts, dtype=np.float64)
        means = np.array([validation.errors, validation.absolute_errors, validation.squared_errors], dtype=np.float64)
        (filled,) = np.nonzero(counts > 0)
        bins = np.arange(len(counts))
        if not len(filled):
            means, filled = np.zeros_like(means), bins
        self.means = np.array([np.interp(bins, filled, each[filled]) for each in means])

        overall = self.means @ counts / max(counts.sum(), 1.0)
        bias, mae, mse = (counts * self.means + overall[:, None]) / (counts + 1)
        self.variances = np.maximum([mse - bias**2, mse - mae**2, _gamma_variance(mae, mse)], 0.0)


def _excess(mae: Floats, mse: Floats) -> Floats:
    """Return mse/mae² - 1, the squared variation of the absolute error; 0 without errors."""
    squares = mae**2
    return np.where(squares > 0, np.maximum(mse / np.where(squares > 0, squares, 1.0) - 1, 0.0), 0.0)


def _gamma_variance(mae: Floats, mse: Floats) -> Floats:
    """Return the variance of the squared error, if the absolute error follows the gamma distribution.

    With u = mse/mae² - 1, one over the shape, it is mse²·(4u + 6u²)/(1 + u): exact for errors of Laplace's
    distribution, and a third too large for normal ones.
    """
    u = _excess(mae, mse)
    return mse**2 * (4 * u + 6 * u**2) / (1 + u)


def _log_normal_variance(mae: Floats, mse: Floats) -> Floats:
    """Return the variance of the squared error, if the absolute error is log-normal: mse²·((1 + u)⁴ - 1)."""
    return mse**2 * ((1 + _excess(mae, mse)) ** 4 - 1)


def _rooted(mse: float, low: float, high: float) -> Estimate:
    return estimate("rmse", *(math.sqrt(max(each, 0.0)) for each in (mse, low, high)))
