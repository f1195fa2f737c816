"""How much more the shares of a window's time slots differ than those of independent rows would.

Tests for drift take rows for independent. Where users come back, requests are repeated or batches hold similar rows,
they are not: a few things that happened look like many. What repeats does so within minutes, so slots differ from each
other by more than chance, and by how much more is what G has to be divided by. Repeats that are spread evenly over the
whole window are not seen.

A change within the window makes slots differ as well, but those before it from those after it, while repeats make each
slot differ from the next. So two estimates are made, of all slots and of neighbours, and the smaller one holds: with
the first alone, the failure of a constant feature at 600 rows a minute was called after 43 minutes instead of 7.
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
        steps: Σ (d/m - d'/m')² / (1/m + 1/m') over neighbouring slots, shape (groups,).
        slots: In how many slots a variable has rows, shape (variables,).
        last: Rows in the last of them, shape (groups,).
    """

    firsts: NDArray[np.intp]
    counts: NDArray[np.float64]
    squares: NDArray[np.float64]
    steps: NDArray[np.float64]
    slots: NDArray[np.int64]
    last: NDArray[np.float64]

    @classmethod
    def of(cls, counts: ArrayLike, firsts: NDArray[np.intp]) -> Spread:
        """Add up slots.

        Args:
            counts: Rows per group, shape (slots, groups), in the order of time.
            firsts: For each variable, which of the groups is its first.
        """
        table = np.asarray(counts, dtype=np.float64)
        none = np.zeros(table.shape[1])
        spread = cls(firsts, none, none, none, np.zeros(len(firsts), dtype=np.int64), none)
        for slot in table:
            spread = spread.then(slot)
        return spread

    def then(self, slot: ArrayLike) -> Spread:
        """Return the sums with one more slot.

        Args:
            slot: Rows per group, shape (groups,).
        """
        d = np.asarray(slot, dtype=np.float64)
        if not len(self.firsts):
            return self
        rows = np.add.reduceat(d, self.firsts)
        m, before = self._spread_out(rows), self._spread_out(np.add.reduceat(self.last, self.firsts))
        weight = m * before / np.maximum(m + before, 1.0)  # 0 where there are no rows, or were none
        step = d / np.maximum(m, 1.0) - self.last / np.maximum(before, 1.0)
        return Spread(
            self.firsts,
            self.counts + d,
            self.squares + d * d / np.maximum(m, 1.0),
            self.steps + step * step * weight,
            self.slots + (rows > 0),
            np.where(m > 0, d, self.last),
        )

    def dispersions(self) -> NDArray[np.float64]:
        """Return the `dispersion` of each variable, shape (variables,)."""
        if not len(self.firsts):
            return np.ones(0)
        rows = np.add.reduceat(self.counts, self.firsts)
        groups = np.add.reduceat(self.counts > 0, self.firsts, dtype=np.int64)
        degrees = (groups - 1) * (self.slots - 1)
        held = np.maximum(self.counts, 1.0)
        # Σ (d - e)²/e with e = m·(rows of the group)/rows, multiplied out.
        overall = rows * (np.add.reduceat(self.squares / held, self.firsts) - 1)
        local = rows * np.add.reduceat(self.steps / held, self.firsts)
        smaller = np.minimum(overall, local) / np.maximum(degrees, 1)
        return np.where(degrees > 0, np.maximum(smaller, 1.0), 1.0)

    def _spread_out(self, of_variables: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give each group what its variable has."""
        return np.repeat(of_variables, np.diff(self.firsts, append=len(self.counts)))


def dispersion(slots: ArrayLike) -> float:
    """Return how many times as much as chance the shares of groups differ between time slots.

    φ = max(1, min(A, B)). A = Σ (d - e)²/e / df, Pearson's χ² of the table of slots and groups over its degrees of
    freedom, where e is the product of row and column sums over the grand total, and df = (slots - 1)·(groups - 1).
    B = Σ (d/m - d'/m')² / (p·(1/m + 1/m')) / df over neighbouring slots, with d of m rows in one, d' of m' in the next,
    and p the share of the group in all slots. Both are r if all rows come r times at once, and 1 if they are
    independent; a change within the window raises A, but hardly B. Slots and groups without rows do not count; 1 where
    fewer than two of either are left. Range [1, inf).

    Args:
        slots: Counts, shape (slots, groups), in the order of time.

    References:
        McCullagh and Nelder, Generalized Linear Models, 1989, 4.5 (overdispersion); Rao and Scott, On Chi-Squared Tests
        for Multiway Contingency Tables with Cell Proportions Estimated from Survey Data, 1984 (dividing by it); von
        Neumann, Distribution of the Ratio of the Mean Square Successive Difference to the Variance, 1941 (neighbours).

    >>> round(dispersion([[8, 2], [2, 8], [8, 2], [2, 8]]), 4)
    4.8
    """
    return float(Spread.of(slots, np.zeros(1, dtype=np.intp)).dispersions()[0])
