"""Losses of a probability: of single scores, and of a row in each bin of a validation.

Arrays have two columns: the loss of a row whose actual value is negative, and the loss of a positive one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BELOW_ONE", "SMALLEST", "RowLoss", "losses_of_bins", "losses_of_moments", "losses_of_scores"]

SMALLEST = float(np.finfo(np.float64).eps)
"""Least probability whose logarithm is taken, as scikit-learn has it."""

BELOW_ONE = math.nextafter(1.0, 0.0)
"""Largest probability below 1. If a probability of 1 is wrong, its loss is far larger than any other."""

Floats = NDArray[np.float64]


class RowLoss(NamedTuple):
    """The loss of a row in each bin, shape (bins, 2).

    Attributes:
        means: Mean loss.
        variances: Variance of the loss between rows of the same bin and actual value.
    """

    means: Floats
    variances: Floats


def losses_of_scores(scores: ArrayLike) -> tuple[Floats, Floats]:
    """Return the Brier loss, (score - actual)², and the logarithmic loss of scores, each of shape (n, 2).

    Args:
        scores: Probabilities, shape (n,).
    """
    own = np.asarray(scores, dtype=np.float64)
    inside = np.clip(own, SMALLEST, 1 - SMALLEST)
    return np.column_stack([own**2, (1 - own) ** 2]), np.column_stack([-np.log1p(-inside), -np.log(inside)])


def losses_of_bins(
    brier: ArrayLike, log_loss: ArrayLike, log_squares: ArrayLike, upper_bounds: tuple[float, ...]
) -> dict[str, RowLoss]:
    """Return the losses of a row in each bin by name, also where no validation row has such an actual value.

    There it is the loss of one score: of the root mean square distance that rows of the other actual value have from
    this value, or of the middle of an empty bin.

    Between rows of the same bin and actual value, the Brier loss hardly varies: to leave that out makes its error less
    than 1 % smaller.

    Args:
        brier: Means of the Brier loss by actual value, shape (2, bins); NaN without rows.
        log_loss: Means of the logarithmic loss likewise.
        log_squares: Means of the squared logarithmic loss likewise.
        upper_bounds: Upper bounds of the bins.
    """
    briers, logs, squares = (
        np.transpose(np.asarray(means, dtype=np.float64)) for means in (brier, log_loss, log_squares)
    )
    middles = _middles(upper_bounds)
    own = np.sqrt(briers)  # distance of the scores from 0, and from 1
    others = np.where(np.isnan(own), np.column_stack([middles, 1 - middles]), own)[:, ::-1]
    distances = np.where(np.isnan(own), 1 - others, own)

    briers = np.where(np.isnan(briers), distances**2, briers)
    logs = np.where(np.isnan(logs), -np.log(np.clip(1 - distances, SMALLEST, 1 - SMALLEST)), logs)
    squares = np.where(np.isnan(squares), logs**2, squares)
    return {
        "brier": RowLoss(briers, np.zeros_like(briers)),
        "log_loss": RowLoss(logs, np.maximum(squares - logs**2, 0.0)),
    }


def losses_of_moments(scores: ArrayLike, squares: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the means that `losses_of_bins` takes, from the ones of the score and the squared score.

    Files of earlier versions have no others. Scores of a bin are taken to be log-normal, and rows positive in
    proportion to their score. Then the mean logarithm of positive rows is the logarithm of the root mean square of all
    scores, and negative rows have the same with 1 - score.

    Args:
        scores: Means of the score, shape (bins,); NaN in an empty bin.
        squares: Means of the squared score.
    """
    first, second = np.asarray(scores, dtype=np.float64), np.asarray(squares, dtype=np.float64)
    means = np.array([1 - first, first])  # of the probability of the actual value
    spreads = np.maximum(second - first**2, 0.0)
    inside = np.clip(means, SMALLEST, 1 - SMALLEST)
    variances = np.log1p(spreads / inside**2)
    logs = np.maximum(-np.log(inside) - variances / 2, 0.0)
    return (1 - means) ** 2 + spreads, logs, logs**2 + variances


def _middles(upper_bounds: tuple[float, ...]) -> Floats:
    """Return the middle of each bin, as far as it lies within [0, 1]: the score of a bin without validation rows."""
    ends = np.clip([0.0, *upper_bounds, 1.0], 0.0, 1.0)
    middles: Floats = np.clip((ends[:-1] + ends[1:]) / 2, SMALLEST, 1 - SMALLEST)
    return middles
