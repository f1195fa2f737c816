"""Populations of scores, what may happen to the truth behind them, and which rows get an outcome.

Rows are not drawn one by one: a fine grid of scores gives the probability of every cell (bin, actual class), and counts
of independent rows in cells are multinomial. So a window of 10,000 rows costs no more than one of 30.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

__all__ = ["CHANGES", "NO_CHANGE", "POPULATIONS", "SELECTIONS", "Change", "Population", "Selection"]

Floats = NDArray[np.float64]

GRID = 40_000
"""Scores of the grid, all equally likely."""


@dataclass(frozen=True)
class Change:
    """A change of the relation of score to truth.

    Attributes:
        name: Name as it is printed.
        truth: Probability of a positive row, given the score, which was that probability before.
    """

    name: str
    truth: Callable[[Floats], Floats]


@dataclass(frozen=True)
class Selection:
    """A rule by which rows get an outcome.

    Attributes:
        name: Name as it is printed.
        weights: Weight of a row, given its score and the threshold.
    """

    name: str
    weights: Callable[[Floats, float], Floats]


NO_CHANGE = Change("none", lambda s: s)
CHANGES = (
    Change("5 % flipped", lambda s: 0.9 * s + 0.05),
    Change("10 % flipped", lambda s: 0.8 * s + 0.1),
    Change("half as sharp", lambda s: special.expit(special.logit(s) / 2)),
    Change("more positives", lambda s: special.expit(special.logit(s) + 0.5)),
)
SELECTIONS = (
    Selection("at random", lambda s, t: np.ones_like(s)),
    Selection("high scores", lambda s, t: np.where(s >= t, 1.0, 0.05)),
    Selection("by score", lambda s, t: s),
    Selection("the unsure", lambda s, t: np.exp(-0.5 * ((s - t) / 0.1) ** 2)),
)


@dataclass(frozen=True)
class Population:
    """A population of calibrated scores.

    Attributes:
        name: Name as it is printed.
        a: First parameter of the beta distribution of scores.
        b: Second parameter.
        threshold: Score from which a row is predicted to be positive.
    """

    name: str
    a: float
    b: float
    threshold: float = 0.5

    @cached_property
    def scores(self) -> Floats:
        """The grid of scores, ascending."""
        shares = (np.arange(GRID) + 0.5) / GRID
        return np.clip(stats.beta(self.a, self.b).ppf(shares), 1e-12, 1 - 1e-12)

    @cached_property
    def bounds(self) -> Floats:
        """The upper bounds of bins: deciles, a grid of 0.05, and the threshold."""
        deciles = np.quantile(self.scores, np.arange(1, 10) / 10)
        edges = np.unique(np.concatenate([deciles, np.arange(1, 21) / 20]))
        below = np.nextafter(self.threshold, -1.0)
        return np.unique(np.append(edges[edges != self.threshold], below))

    @cached_property
    def first_positive(self) -> int:
        """The index of the first bin that is predicted to be positive."""
        return int(np.searchsorted(self.bounds, np.nextafter(self.threshold, -1.0))) + 1

    def cells(self, change: Change = NO_CHANGE, selection: Selection = SELECTIONS[0]) -> Floats:
        """Return the probability of each bin and actual class, shape (bins, 2)."""
        scores, bins = self.scores, len(self.bounds) + 1
        weights = selection.weights(scores, self.threshold)
        truth, weights = change.truth(scores), weights / weights.sum()
        at = np.searchsorted(self.bounds, scores)
        return np.column_stack([np.bincount(at, weights * share, bins) for share in (1 - truth, truth)])


POPULATIONS = (
    Population("even", 0.5, 0.5),
    Population("sure", 0.08, 0.08),
    Population("weak", 8.0, 8.0),
    Population("rare positives", 0.3, 5.7),
    Population("rare, low threshold", 0.3, 5.7, threshold=0.1),
)
