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

_FLOATS = frozenset({float})


class SignedSums:
    """Adds up the values of variables.

    Args:
        start: Index of the first pair of sums, of positive and of negative values; one pair per variable.
        is_text: Whether each variable holds texts, which have no sums.
    """

    def __init__(self, start: int, is_text: Sequence[bool]) -> None:
        self._start = start
        self._is_text = is_text

    def first_of(self, index: int) -> int:
        """Return the index of a variable's first sum; -1 if it has none."""
        return -1 if self._is_text[index] else self._start + 2 * index

    def add(self, rows: Any, increments: Increments) -> None:
        """Add the values of rows, a list or an array, to *increments*."""
        for index, is_text in enumerate(self._is_text):
            if is_text:
                continue
            if len(rows) == 1 and type(rows) is list:
                self.add_value(index, rows[0][index], increments)
                continue
            for is_negative, amount in enumerate(self._amounts(index, rows)):
                if amount:
                    increments.sums.append((self._start + 2 * index + is_negative, float(amount)))

    def _amounts(self, index: int, rows: Any) -> tuple[float, float]:
        """Return the sums of a variable's positive values, and of its negative ones without their sign."""
        values: Any
        if isinstance(rows, np.ndarray) and is_countable(rows):
            values = rows[:, index].astype(np.float64)
            with np.errstate(all="ignore"):
                total, least = values.sum(), values.min()
        else:
            values = [row[index] for row in rows]
            if not _FLOATS.issuperset(map(type, values)):
                values = [_summed(value) for value in values]
            total, least = sum(values), min(values)
        if least >= 0 and total < math.inf:  # the common case; a NaN makes the total NaN
            return total, 0.0

        values = np.array(values)
        values = values[np.isfinite(values)]
        with np.errstate(over="ignore"):
            return values[values > 0].sum(), -values[values < 0].sum()

    def add_value(self, index: int, value: Any, increments: Increments) -> None:
        """Add a value of one variable to *increments*."""
        if self._is_text[index]:
            return
        number = value if type(value) is float and abs(value) < math.inf else _summed(value)
        if number:
            increments.sums.append((self._start + 2 * index + (number < 0), abs(number)))


def _summed(value: Any) -> float:
    """Return the number that a value adds to a variable's sums; 0 for none."""
    if type(value) is not float:
        try:
            value = to_number(value)
        except InvalidValue:
            return 0.0
    return value if math.isfinite(value) else 0.0
