"""Shares of rows outside of trained values (missing, invalid, out of range, unseen), and the group that moved most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flask_boxkite.drift.statistics import chi_squared_limit, g_statistic
from flask_boxkite.naming import ABOVE, BELOW, INVALID, MISSING, UNSEEN

__all__ = ["Change", "moved_most", "special_changes"]

SPECIAL = {
    "missing": frozenset({MISSING}),
    "invalid": frozenset({INVALID}),
    "out_of_range": frozenset({BELOW, ABOVE}),
    "unseen": frozenset({UNSEEN}),
}


@dataclass(frozen=True)
class Change:
    """The change of a share of a variable's rows.

    Attributes:
        before: Share in training.
        now: Live share.
    """

    before: float
    now: float

    @property
    def difference(self) -> float:
        """The rise of the share, in [-1, 1]."""
        return self.now - self.before


def special_changes(names: Sequence[str], baseline: Sequence[int], live: Sequence[int]) -> dict[str, Change]:
    """Return the shares of ``missing``, ``invalid``, ``out_of_range`` and ``unseen`` rows, in training and live.

    Each share is the sum of the counts of its groups over the sum of all counts, in [0, 1]. A larger difference means
    further apart. The share is 0 if the sample is empty, or the variable has no such groups.

    Args:
        names: Names of the groups.
        baseline: Training counts per group.
        live: Live counts of the same groups.

    >>> special_changes(["a", "__unseen__", "__missing__"], [9, 0, 1], [6, 2, 2])["missing"]
    Change(before=0.1, now=0.2)
    """
    rows = max(sum(baseline), 1), max(sum(live), 1)
    changes = {}
    for kind, groups in SPECIAL.items():
        indices = [index for index, name in enumerate(names) if name in groups]
        before, now = (sum(counts[index] for index in indices) for counts in (baseline, live))
        changes[kind] = Change(before / rows[0], now / rows[1])
    return changes


def moved_most(
    names: Sequence[str], baseline: Sequence[int], live: Sequence[int], *, dispersion: float, alpha: float
) -> int:
    """Return the index of the group that tells most about a change: whose share changed most, or a special one.

    A special group wins if its part of the population stability index is the largest, and its change is significant by
    itself: values that training did not have take their share from the other groups.

    Args:
        names: Names of the groups.
        baseline: Training counts per group.
        live: Live counts of the same groups.
        dispersion: Number of live rows that count as one.
        alpha: Probability that chance alone makes a change significant.

    >>> moved_most(["a", "b", "__unseen__"], [500, 500, 0], [450, 470, 80], dispersion=1, alpha=1e-5)
    2
    """
    c, d = np.asarray(baseline, dtype=np.float64), np.asarray(live, dtype=np.float64)
    p, q = (c + 0.5) / (c + 0.5).sum(), (d + 0.5) / (d + 0.5).sum()
    first = int(np.argmax((q - p) * np.log(q / p)))
    if any(names[first] in groups for groups in SPECIAL.values()):
        apart = ([counts[first], counts.sum() - counts[first]] for counts in (c, d / dispersion))
        if g_statistic(*apart) > chi_squared_limit(alpha, 1):
            return first
    return int(np.argmax(np.abs(d / max(d.sum(), 1) - c / max(c.sum(), 1))))
