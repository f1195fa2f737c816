"""How much more the shares of a window's time slots differ than those of independent rows would.

Tests for drift take rows for independent. Where users come back, requests are repeated or batches hold similar rows,
they are not: a few things that happened look like many. What repeats does so within minutes, so slots differ from each
other by more than chance, and by how much more is what G has to be divided by. Repeats that are spread evenly over the
whole window are not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Spread", "dispersion"]


@dataclass(frozen=True)
class Spread:
    """Sums over the slots of several variables, from which their dispersions follow: one slot more costs little.

    Attributes:
        firsts: For each variable, which of all groups is its first, shape (variables,), ascending from 0.
        counts: Rows in all slots, shape (groups,).
        squares: Σ d²/m over the slots, with d rows of the group and m of its variable, shape (groups,).
        slots: In how many slots a variable has rows, shape (variables,).
    """

    firsts: NDArray[np.intp]
    counts: NDArray[np.float64]
    squares: NDArray[np.float64]
    slots: NDArray[np.int64]

    @classmethod
    def of(cls, counts: ArrayLike, firsts: NDArray[np.intp]) -> Spread:
        """Add up slots.

        Args:
            counts: Rows per group, shape (slots, groups).
            firsts: For each variable, which of the groups is its first.
        """
        d = np.asarray(counts, dtype=np.float64)
        m = np.add.reduceat(d, firsts, axis=1) if len(firsts) else d[:, :0]
        widths = np.diff(firsts, append=d.shape[1])
        squares = np.sum(d * d / np.repeat(np.maximum(m, 1.0), widths, axis=1), axis=0)
        return cls(firsts, d.sum(axis=0), squares, np.count_nonzero(m, axis=0))

    def plus(self, other: Spread) -> Spread:
        """Return the sums over the slots of both."""
        return Spread(self.firsts, self.counts + other.counts, self.squares + other.squares, self.slots + other.slots)

    def dispersions(self) -> NDArray[np.float64]:
        """Return the `dispersion` of each variable, shape (variables,)."""
        if not len(self.firsts):
            return np.ones(0)
        rows = np.add.reduceat(self.counts, self.firsts)
        groups = np.add.reduceat(self.counts > 0, self.firsts, dtype=np.int64)
        degrees = (groups - 1) * (self.slots - 1)
        # Σ (d - e)²/e with e = m·(rows of the group)/rows, multiplied out.
        chi_squared = rows * (np.add.reduceat(self.squares / np.maximum(self.counts, 1.0), self.firsts) - 1)
        return np.where(degrees > 0, np.maximum(chi_squared / np.maximum(degrees, 1), 1.0), 1.0)


def dispersion(slots: ArrayLike) -> float:
    """Return how many times as much as chance the shares of groups differ between time slots.

    φ = max(1, χ²/df) with Pearson's χ² = Σ (d - e)²/e of the table of slots and groups, where e is the product of
    row and column sums over the grand total, and df = (slots - 1)·(groups - 1). Slots and groups without rows do not
    count; 1 where fewer than two of either are left. Range [1, inf): r if all rows come r times in a row, 1 if they are
    independent. Changes within the window raise it too, so drift that has just begun is judged with caution.

    Args:
        slots: Counts, shape (slots, groups).

    References:
        McCullagh and Nelder, Generalized Linear Models, 1989, 4.5 (overdispersion); Rao and Scott, On Chi-Squared Tests
        for Multiway Contingency Tables with Cell Proportions Estimated from Survey Data, 1984 (dividing by it).

    >>> round(dispersion([[8, 2], [2, 8]]), 4)
    7.2
    """
    return float(Spread.of(slots, np.zeros(1, dtype=np.intp)).dispersions()[0])
