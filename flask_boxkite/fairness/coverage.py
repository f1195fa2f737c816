"""Which rows have an outcome: selected ones, others, or both.

Outcomes often depend on the selection: of loans, only the granted ones are paid back. Then all rows with an outcome are
selected, and every true positive rate is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask_boxkite.performance.metric import ratio

__all__ = ["OutcomeCoverage"]

_UNLIKE = 2.0
"""Ratio of the shares of rows with an outcome from which on these are called a selection."""


@dataclass(frozen=True)
class OutcomeCoverage:
    """Rows with an outcome, by selection.

    Attributes:
        selected: Number of rows that the model selected.
        selected_known: Number of these with an outcome.
        others: Number of rows that it did not select.
        others_known: Number of these with an outcome.
    """

    selected: int = 0
    selected_known: int = 0
    others: int = 0
    others_known: int = 0

    @property
    def flaw(self) -> str:
        """The reason for which no rate can be told from rows with an outcome; empty if there is none."""
        if self.selected and self.others:
            if self.selected_known and not self.others_known:
                return "only selected rows have an outcome"
            if self.others_known and not self.selected_known:
                return "no selected row has an outcome"
        return ""

    @property
    def shares(self) -> tuple[float, float]:
        """The share of selected rows that have an outcome, and the one of others; NaN without such rows."""
        return ratio(self.selected_known, self.selected), ratio(self.others_known, self.others)

    @property
    def is_unlike(self) -> bool:
        """Whether outcomes are known of selected rows much more often than of others, or less often."""
        low, high = sorted(self.shares)
        return high > _UNLIKE * low
