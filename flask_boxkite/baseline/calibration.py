"""Calibration: the share of positives in each bin of a score, which does not fall as the score rises."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["pooled_shares"]


def pooled_shares(positives: ArrayLike, rows: ArrayLike) -> NDArray[np.float64]:
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
    on_line: NDArray[np.float64] = np.interp(np.arange(len(counts)), filled, shares)
    return on_line
