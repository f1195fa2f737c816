"""The sums of a model's outputs, of positive and of negative values, so that neither sum ever falls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from flask_boxkite.live.arrays import is_countable
from flask_boxkite.live.increments import Increments
from flask_boxkite.values.conversion import InvalidValue, to_number

__all__ = ["SignedSums"]

FEW_ROWS = 12
"""Number of rows from which NumPy's calls, which take 10 µs, are faster than adding value by value."""


class SignedSums:
    """Adds up the values of variables.

    Args:
        start: Index of the first pair of sums, of positive and of negative values; one pair per variable.
        is_text: Whether each variable holds texts, which have no sums.
    """

    def __init__(self, start: int, is_text: Sequence[bool]) -> None:
        self._start = start
        self._is_text = is_text

    def add(self, rows: Any, increments: Increments) -> None:
        """Add the values of rows, a list or an array, to *increments*."""
        is_few = type(rows) is list and len(rows) < FEW_ROWS
        for index, is_text in enumerate(self._is_text):
            if is_text:
                continue
            if is_few:
                for row in rows:
                    self.add_value(index, row[index], increments)
            else:
                self._add_column(index, rows, increments)

    def _add_column(self, index: int, rows: Any, increments: Increments) -> None:
        if isinstance(rows, np.ndarray) and is_countable(rows):
            values = rows[:, index].astype(np.float64)
            values = values[np.isfinite(values)]
        else:
            values = np.array([self._summed(index, row[index]) for row in rows])

        with np.errstate(over="ignore"):
            amounts = values[values > 0].sum(), -values[values < 0].sum()
        for is_negative, amount in enumerate(amounts):
            if amount:
                increments.sums.append((self._start + 2 * index + is_negative, float(amount)))

    def add_value(self, index: int, value: Any, increments: Increments) -> None:
        """Add a value of one variable to *increments*."""
        if number := self._summed(index, value):
            increments.sums.append((self._start + 2 * index + (number < 0), abs(number)))

    def _summed(self, index: int, value: Any) -> float:
        """Return the number that a value adds to a variable's sums; 0 for none."""
        if self._is_text[index]:
            return 0.0
        if type(value) is not float:
            try:
                value = to_number(value)
            except InvalidValue:
                return 0.0
        return value if math.isfinite(value) else 0.0
