"""Cells of the table: how far the estimates of both sides are from the realised metric, and the bars."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

__all__ = ["BAND", "COVERAGE", "LEAST_WINDOWS", "MOST_RATIO", "MOST_ROWS", "Cell", "Key", "mean_errors"]

MOST_RATIO = 1.2
"""Bar of a cell: our error in parts of NannyML's."""

COVERAGE = (0.90, 1.0)
"""Bar of a cell without a shift: share of windows whose realised metric is within our band of 1.96 standard errors."""

LEAST_WINDOWS, MOST_ROWS = 40, 1000
"""Least number of windows for that bar, and most rows of each. Of fewer windows, chance alone leaves fewer than 90 %
within a band of 95 %; the larger ones share validation rows that matter more than their own."""

BAND = 1.96
"""Standard errors of NannyML's band here; its own plots show 3."""


@dataclass(frozen=True)
class Key:
    """Name of a cell.

    Attributes:
        data: Data set.
        metric: Metric.
        shift: Shift of the windows.
        size: Rows of a window.
    """

    data: str
    metric: str
    shift: str
    size: int


@dataclass
class Cell:
    """Figures of a cell, an entry for each window; NaN where there is none.

    Attributes:
        realised: Metric by the outcomes.
        validated: Metric of the validation rows.
        estimated: Our estimate from the output alone.
        low: Lower end of its band.
        high: Upper end of its band.
        corrected: Our estimate that allows for the features.
        theirs: NannyML's estimate.
        their_error: Its standard error.
    """

    realised: list[float] = field(default_factory=list)
    validated: list[float] = field(default_factory=list)
    estimated: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    corrected: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    their_error: list[float] = field(default_factory=list)

    @property
    def best(self) -> str:
        """The name of our estimate that is judged: the corrected one where there is one."""
        return "corrected" if np.isfinite(self.corrected).any() else "estimated"

    def error(self, column: str) -> float:
        """Return the root of the mean squared distance of a column from the realised metric; NaN if it is empty."""
        squares = (np.array(getattr(self, column)) - self.realised) ** 2
        return float(np.sqrt(np.mean(squares[np.isfinite(squares)]))) if np.isfinite(squares).any() else float("nan")

    @property
    def coverage(self) -> float:
        """The share of windows whose realised metric is within our band."""
        return _within(self.realised, self.low, self.high)

    @property
    def their_coverage(self) -> float:
        """The share of windows whose realised metric is within NannyML's band."""
        value, half = np.array(self.theirs), BAND * np.array(self.their_error)
        return _within(self.realised, value - half, value + half)

    def ratio(self, column: str) -> float:
        """Return the error of a column in parts of NannyML's error."""
        theirs = self.error("theirs")
        return self.error(column) / theirs if theirs > 0 else float("nan")

    def missed(self, key: Key) -> list[str]:
        """Return the names of the bars that are missed by the cell of this name."""
        missed = []
        has_peer = np.isfinite(self.theirs).any()
        if has_peer and not self.ratio(self.best) <= MOST_RATIO:
            missed.append("error")
        low, high = COVERAGE
        is_judged = key.shift == "none" and key.size <= MOST_ROWS and len(self.realised) >= LEAST_WINDOWS
        if is_judged and not low <= self.coverage <= high:
            missed.append("coverage")
        return missed


def mean_errors(cells: Iterable[Cell], column: str) -> float:
    """Return the mean of the cells' errors."""
    return float(np.mean([cell.error(column) for cell in cells]))


def _within(values: Iterable[float], low: Iterable[float], high: Iterable[float]) -> float:
    values, low, high = (np.array(each, dtype=np.float64) for each in (values, low, high))
    is_known = np.isfinite(values) & np.isfinite(low) & np.isfinite(high)
    return float(np.mean(((values >= low) & (values <= high))[is_known])) if is_known.any() else float("nan")
