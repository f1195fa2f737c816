"""Shares of rows outside of a variable's trained values: missing, invalid, out of range, unseen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_boxkite.naming import ABOVE, BELOW, INVALID, MISSING, UNSEEN

__all__ = ["Change", "special_changes"]

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
