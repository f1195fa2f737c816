"""Ranking: the area under the ROC curve from counts in bins of a score, and the parts of its variance.

Of the pairs of a positive and a negative row in one bin, a given share is in the right order: one half, as of ties, if
nothing is known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Ranking", "auc_slopes", "ranking"]

Floats = NDArray[np.float64]


class Ranking(NamedTuple):
    """How well a score ranks rows, arrays of shape (…).

    Attributes:
        auc: Area under the ROC curve: the probability that a positive row has a higher score than a negative one. NaN
            if one of the classes is empty.
        of_positives: Variance over positive rows of the share of negative rows below them, V10.
        of_negatives: Variance over negative rows of the share of positive rows above them, V01.
        positives: Number of positive rows.
        negatives: Number of negative rows.
    """

    auc: Floats
    of_positives: Floats
    of_negatives: Floats
    positives: Floats
    negatives: Floats

    def variance(self, positives: ArrayLike | None = None, negatives: ArrayLike | None = None) -> Floats:
        """Return the variance of the AUC of so many rows; of the rows themselves by default.

        V10/positives + V01/negatives.
        """
        of_positives = np.maximum(self.positives if positives is None else np.asarray(positives, np.float64), 1.0)
        of_negatives = np.maximum(self.negatives if negatives is None else np.asarray(negatives, np.float64), 1.0)
        return self.of_positives / of_positives + self.of_negatives / of_negatives


def ranking(negatives: ArrayLike, positives: ArrayLike, inside: ArrayLike = 0.5) -> Ranking:
    """Return the AUC and its DeLong parts.

    Args:
        negatives: Negative rows per bin, shape (…, bins), from the lowest score to the highest.
        positives: Positive rows per bin.
        inside: Share of the pairs of one bin that is in the right order, shape (bins,), or one for all.

    References:
        DeLong, DeLong and Clarke-Pearson, Comparing the Areas under Two or More Correlated ROC Curves, 1988.

    >>> float(ranking([3, 1], [1, 3]).auc)
    0.75
    """
    below, above, hits, misses = _ranks(negatives, positives, inside)
    p, m = hits.sum(axis=-1), misses.sum(axis=-1)
    below, above = below / np.maximum(m, 1.0)[..., None], above / np.maximum(p, 1.0)[..., None]

    auc = np.asarray(np.sum(hits * below, axis=-1) / np.maximum(p, 1.0))
    of_positives = np.sum(hits * (below - auc[..., None]) ** 2, axis=-1) / np.maximum(p - 1, 1.0)
    of_negatives = np.sum(misses * (above - auc[..., None]) ** 2, axis=-1) / np.maximum(m - 1, 1.0)
    return Ranking(np.where((p > 0) & (m > 0), auc, np.nan), of_positives, of_negatives, p, m)


def auc_slopes(negatives: ArrayLike, positives: ArrayLike, inside: ArrayLike = 0.5) -> tuple[Floats, Floats]:
    """Return the AUC, shape (…), and how it changes with a row that turns positive in each bin, shape (…, bins).

    With P positives and M negatives, and a share w of pairs inside of a bin in the right order, the slope is
    [M_{<b} + w·M_b - P_{>b} - w·P_b - AUC·(M - P)]/(P·M). Both are NaN if one of the classes is empty.

    Args:
        negatives: Negative rows per bin, shape (…, bins); expected numbers need not be whole.
        positives: Positive rows per bin.
        inside: Share w, shape (bins,), or one for all.
    """
    below, above, hits, misses = _ranks(negatives, positives, inside)
    p, m = hits.sum(axis=-1), misses.sum(axis=-1)
    pairs = np.where((p > 0) & (m > 0), p * m, np.nan)
    auc = np.asarray(np.sum(hits * below, axis=-1) / pairs)
    return auc, (below - above - (auc * (m - p))[..., None]) / pairs[..., None]


def _ranks(negatives: ArrayLike, positives: ArrayLike, inside: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the negatives below and the positives above each bin, a share of its own included, and both as floats."""
    misses, hits = (np.asarray(counts, dtype=np.float64) for counts in (negatives, positives))
    share = np.asarray(inside, dtype=np.float64)
    below: NDArray[Any] = np.cumsum(misses, axis=-1) - misses * (1 - share)
    above: NDArray[Any] = hits.sum(axis=-1, keepdims=True) - np.cumsum(hits, axis=-1) + hits * share
    return below, above, hits, misses
