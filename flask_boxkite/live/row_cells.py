"""The cells of one row: a binary search for each value, or one for the whole row (`row_search`).

Where the package was installed with a compiler, a compiled twin does the same.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Sequence
from operator import add
from typing import Any, Protocol

from flask_boxkite.compiled import native
from flask_boxkite.live.cells import PLAIN_NUMBERS, Cells, ContinuousCells
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.row_search import RowSearch
from flask_boxkite.values.rowhash import MISSING_TEXT, bucket_of

__all__ = ["WIDE_ROW", "RowCells", "row_cells"]

WIDE_ROW = 8
"""Number of variables from which one search for the whole row is faster than one per value."""

_EXACT = 2**53
_LEAST_WIDE = 2.0**63
"""Plain JSON has no larger integers."""


class RowCounter(Protocol):
    """Counts single rows."""

    def count(self, row: Sequence[Any], increments: Increments) -> bool:
        """Add the cells of a row to increments; return whether its values are all known to be plain JSON.

        Args:
            row: A value for each variable.
            increments: Increments to add to; unchanged if this raises.

        Raises:
            ValueError: The row has another number of values.
        """


def row_cells(cells: Sequence[Cells], buckets: int | None, *, keeps_interpreter: bool) -> RowCounter:
    """Return a counter of rows.

    Args:
        cells: Cells of each variable.
        buckets: First of the `ROW_BUCKETS` cells in which whole rows are counted; None to count no rows.
        keeps_interpreter: Whether other threads wait for the interpreter, which NumPy's search gives up for a moment.
            Waking them for nothing costs 30 µs, and a search in Python only 3 µs more than one in NumPy.
    """
    if native is not None:
        compiled: RowCounter = native.RowCells(cells, buckets, MISSING_TEXT)
        return compiled
    return RowCells(cells, buckets, keeps_interpreter=keeps_interpreter)


class RowCells:
    """Counts single rows, in Python; `row_cells` explains the arguments."""

    def __init__(self, cells: Sequence[Cells], buckets: int | None, *, keeps_interpreter: bool = False) -> None:
        self._buckets = buckets
        self._locators = [item.locate for item in cells]
        continuous = [item for item in cells if isinstance(item, ContinuousCells)]
        self._bounds = [item.bounds for item in continuous]
        self._offsets = [item.offset for item in continuous]
        self._is_continuous = len(continuous) == len(cells)
        self._pack = struct.Struct("<" + "".join("Q" if item.is_text else "d" for item in cells)).pack
        self._is_narrow = any(item.width.is_narrow for item in cells)
        self._rounding = struct.Struct("<" + "".join(item.width.letter for item in cells))
        is_wide = len(continuous) >= WIDE_ROW and not keeps_interpreter
        self._search = RowSearch(self._bounds, self._offsets) if is_wide else None

    def count(self, row: Sequence[Any], increments: Increments) -> bool:
        """Add the cells of a row; see `RowCounter.count`."""
        total = _plain_sum(row) if self._is_continuous else math.nan
        if total == total:
            try:
                if self._is_narrow:
                    row = self._rounding.unpack(self._rounding.pack(*row))
                packed = self._pack(*row)
            except (OverflowError, struct.error):
                pass  # huge integers of both signs, whose sum is small
            else:
                if self._search is not None:
                    increments.raise_cells(self._search(packed))
                else:
                    increments.cells += list(map(add, self._offsets, map(bisect_left, self._bounds, map(float, row))))
                if self._buckets is not None:
                    increments.cells.append(self._buckets + bucket_of(packed))
                return abs(total) < _LEAST_WIDE

        cells, words = [], []
        for locate, value in zip(self._locators, row, strict=True):  # half the time of unzipping pairs
            cell, word = locate(value)
            cells.append(cell)
            words.append(word)
        increments.cells += cells
        if self._buckets is not None:
            increments.cells.append(self._buckets + bucket_of(self._pack(*words)))
        return False


def _plain_sum(row: Sequence[Any]) -> float:
    """Return the sum of a row of plain numbers; NaN if it holds another value, or an integer too large for a float.

    A sum is a quick look at all values. It is NaN if any value is NaN, not a plain float or int if any value is a
    NumPy scalar (a float32 must be read by its decimals), and an error if any value is a text or None.
    """
    if type(row[0]) not in PLAIN_NUMBERS:  # spares NumPy's warnings when many large scalars are added
        return math.nan
    try:
        total = sum(row)
    except (TypeError, OverflowError, RuntimeWarning):
        return math.nan
    return total if type(total) is float or (type(total) is int and -_EXACT < total < _EXACT) else math.nan
