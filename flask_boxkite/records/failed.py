"""Counts of odd features in failed records, the same as live."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.failed import FailedCells, Failures, failures_of
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.naming import STATUSES
from flask_boxkite.payloads import Table
from flask_boxkite.records.alignment import Row

__all__ = ["FAILED", "FailedRows"]

FAILED = "error"
"""Status of records of requests that ended in 5xx."""


class FailedRows:
    """Counts the rows of failed records.

    Args:
        layout: Cells of the counts of the baseline.
        features: Counter of its features.
    """

    def __init__(self, layout: ModelCells, features: VariableCounter) -> None:
        self._layout, self._features = layout, features
        self._translated = FailedCells(layout)
        self._cells = np.zeros(layout.size, dtype=np.int64)

    def add(self, number: int, rows: Sequence[Row]) -> None:
        """Count the rows of one record.

        Args:
            number: Number of its rows.
            rows: Their features; empty if these do not fit the baseline.
        """
        self._cells[self._layout.statuses_start + STATUSES.index(FAILED)] += number
        if rows and self._features.names:
            answered = self._features.count(Table(None, list(rows)))
            for cell, amount in self._translated.increments(answered).amounts:
                self._cells[cell] += amount

    @property
    def cells(self) -> NDArray[np.int64]:
        """The counts so far, in the order of the model's cells."""
        return self._cells

    def join(self, cells: NDArray[np.int64]) -> None:
        """Add the `cells` of another counter."""
        self._cells += cells

    def beside(self, answered: NDArray[np.int64]) -> Failures:
        """Return the features that were odd, beside answered rows.

        Args:
            answered: Counts of features and outputs of the answered rows, in the order of the baseline's cells.
        """
        cells = self._cells.copy()
        cells[: len(answered)] = answered
        return failures_of(self._layout, cells)
