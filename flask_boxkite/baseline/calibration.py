"""Calibration: the shares of actual values among the rows of each bin of a score, or of a predicted class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BinaryCalibration", "ClassCalibration", "binary_calibration", "class_calibration", "pooled_shares"]

Floats = NDArray[np.float64]


class BinaryCalibration(NamedTuple):
    """The positive rows of each bin of a score, arrays of shape (bins,).

    Attributes:
        rows: Number N of validation rows.
        shares: Isotonic share p of positive rows.
        doubtful: The share r = (N·p + π)/(N + 1), one row of all bins added: π is the share of all rows.
    """

    rows: Floats
    shares: Floats
    doubtful: Floats


class ClassCalibration(NamedTuple):
    """The actual classes of the rows of each predicted class and bin.

    Attributes:
        rows: Validation rows per predicted class and bin.
        overall: Share of each actual class among the rows of a predicted class, shape (classes, classes).
        shares: Share of each actual class in each bin, shape (classes, bins, classes); *overall* in an empty bin.
        doubtful: The same, one row of *overall* added to each bin.
    """

    rows: Floats
    overall: Floats
    shares: Floats
    doubtful: Floats


def binary_calibration(negatives: Sequence[int], positives: Sequence[int]) -> BinaryCalibration:
    """Return the calibration of a score.

    Args:
        negatives: Negative rows per bin, from the lowest score to the highest.
        positives: Positive rows per bin.
    """
    rows = np.array([sum(pair) for pair in zip(negatives, positives, strict=True)], dtype=np.float64)
    shares = pooled_shares(positives, rows)
    overall = sum(positives) / max(sum(negatives) + sum(positives), 1)
    return BinaryCalibration(*map(_fixed, (rows, shares, (rows * shares + overall) / (rows + 1))))


def class_calibration(counts: ArrayLike) -> ClassCalibration:
    """Return the calibration of a predicted class.

    Args:
        counts: Rows per predicted class, bin and actual class, shape (classes, bins, classes).
    """
    cells = np.asarray(counts, dtype=np.float64)
    rows, overall = cells.sum(axis=2), _overall(cells.sum(axis=1))
    shares = np.where(rows[..., None] > 0, cells / np.maximum(rows[..., None], 1.0), overall[:, None])
    doubtful = (cells + overall[:, None]) / (rows[..., None] + 1)
    return ClassCalibration(*map(_fixed, (rows, overall, shares, doubtful)))


def _fixed(array: Floats) -> Floats:
    """Return an array that cannot be changed, since all users of a validation share it."""
    array.flags.writeable = False
    return array


def _overall(table: Floats) -> Floats:
    """Return the share of each actual class per predicted class.

    To the rows of each predicted class comes one: as often right as any, and otherwise of the other classes as they
    come. So a class that was never predicted has shares too.
    """
    classes, n = len(table), float(table.sum())
    right = (float(np.trace(table)) + 0.5) / (n + 1)
    actual = (table.sum(axis=0) + 1 / classes) / (n + 1)
    others = np.tile(actual, (classes, 1))
    np.fill_diagonal(others, 0.0)
    total = others.sum(axis=1, keepdims=True)
    usual = (1 - right) * others / np.where(total > 0, total, 1.0)
    np.fill_diagonal(usual, right if classes > 1 else 1.0)
    shares: Floats = (table + usual) / (table.sum(axis=1, keepdims=True) + 1)
    return shares


def pooled_shares(positives: ArrayLike, rows: ArrayLike) -> Floats:
    """Return the isotonic share of positives in each bin, by pooling adjacent violators.

    Of all shares that do not fall from bin to bin, these have the highest likelihood. An empty bin lies on the line
    between its neighbours; outside of all rows, the nearest share holds. Without rows all shares are one half.

    Args:
        positives: Positive rows per bin, shape (bins,), from the lowest score to the highest.
        rows: Rows per bin.

    References:
        Ayer et al., An Empirical Distribution Function for Sampling with Incomplete Information, 1955; Zadrozny and
        Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, 2002.

    >>> pooled_shares([0, 3, 1, 0, 4], [4, 4, 4, 0, 4])
    array([0.  , 0.5 , 0.5 , 0.75, 1.  ])
    """
    counts = list(zip(np.asarray(positives).tolist(), np.asarray(rows).tolist(), strict=True))
    filled = [bin_ for bin_, (_, number) in enumerate(counts) if number > 0]
    if not filled:
        return np.full(len(counts), 0.5)

    pools: list[tuple[int, int, int]] = []  # positives, rows, bins
    for bin_ in filled:
        hits, number, width = *counts[bin_], 1
        while pools and pools[-1][0] * number >= hits * pools[-1][1]:
            before = pools.pop()
            hits, number, width = hits + before[0], number + before[1], width + before[2]
        pools.append((hits, number, width))

    shares = np.repeat([hits / number for hits, number, _ in pools], [width for *_, width in pools])
    on_line: Floats = np.interp(np.arange(len(counts)), filled, shares)
    return on_line
