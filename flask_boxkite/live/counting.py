"""Counting of rows and batches: the bin, category or special cell of each value.

One row costs a binary search per value in pure Python, or one search for the whole row (`row_search`). A batch is
counted with NumPy (`columns`). Each way gives the same cells, bit for bit, as comparing the number from `to_number`
with ``(lower, upper]``.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Sequence
from operator import add, itemgetter
from typing import Any

import numpy as np

from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.live.arrays import row_lists
from flask_boxkite.live.cells import PLAIN_NUMBERS, Cells, ContinuousCells, cells_of
from flask_boxkite.live.columns import ColumnCounter
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.name_order import NameOrder, UnmatchedError
from flask_boxkite.live.nesting import Nesting
from flask_boxkite.live.row_search import RowSearch
from flask_boxkite.live.signed_sums import SignedSums
from flask_boxkite.payloads.table import ObjectRow, Table
from flask_boxkite.values.rowhash import bucket_of

__all__ = ["VariableCounter"]

BULK_ROWS = 12
"""Number of rows from which counting by column is faster than row by row."""

WIDE_ROW = 8
"""Number of variables from which one search for the whole row is faster than one per value."""

_EXACT = 2**53


class VariableCounter:
    """Counts rows of features, or of outputs, in the cells of a model.

    Args:
        distributions: Distributions of the variables, with their bins.
        offset: First cell of the first variable.
        size: Number of cells of the whole model.
        buckets: First of the `ROW_BUCKETS` cells in which whole rows are counted; None to count no rows.
        sums: Index of the first pair of sums (of positive and of negative values), one pair per variable; None for no
            sums.
        keeps_interpreter: Whether other threads wait for the interpreter, which NumPy's search gives up for a moment.
            Waking them for nothing costs 30 µs, and a search in Python only 3 µs more than one in NumPy.
        gap: Kind of gap to note in increments for rows whose names may be misspelt; empty for none.

    Attributes:
        names: Names of the variables, in their order.
        known: Names of the variables, as a set.
        gaps: Names of rows that lack a variable and have an unknown name, which may be its misspelling.
        nesting: Takes variables whose names are paths out of nested values.
    """

    def __init__(
        self,
        distributions: Sequence[Distribution],
        offset: int,
        size: int,
        *,
        buckets: int | None = None,
        sums: int | None = None,
        keeps_interpreter: bool = False,
        gap: str = "",
    ) -> None:
        self.names = tuple(distribution.name for distribution in distributions)
        self.known = frozenset(self.names)
        self._buckets = buckets
        self._cells: list[Cells] = []
        for distribution in distributions:
            self._cells.append(cells_of(distribution, offset))
            offset += len(distribution.cells)

        self._columns = ColumnCounter(self._cells, size, buckets)
        self.nesting = Nesting(self.names)
        self._order = NameOrder(self.names, notes_gaps=bool(gap))
        self._gap = gap
        self.gaps = self._order.gaps
        is_text = [cells.is_text for cells in self._cells]
        self._first_sum = sums
        self._sums = None if sums is None else SignedSums(sums, is_text)

        continuous = [cells for cells in self._cells if isinstance(cells, ContinuousCells)]
        self._pick = itemgetter(*self.names) if self.names else itemgetter(0)
        self._locators = [cells.locate for cells in self._cells]
        self._bounds = [cells.bounds for cells in continuous]
        self._offsets = [cells.offset for cells in continuous]
        self._is_continuous = len(continuous) == len(self._cells)
        self._pack = struct.Struct("<" + "".join("Q" if holds_text else "d" for holds_text in is_text)).pack
        self._is_narrow = any(cells.width.is_narrow for cells in self._cells)
        self._rounding = struct.Struct("<" + "".join(cells.width.letter for cells in self._cells))
        is_wide = len(continuous) >= WIDE_ROW and not keeps_interpreter
        self._search = RowSearch(self._bounds, self._offsets) if is_wide else None

    def count(self, table: Table, increments: Increments | None = None) -> Increments:
        """Return the increments of rows.

        Args:
            table: The rows.
            increments: Increments to add to and return; None for new ones. Unchanged if this raises.

        Raises:
            UnmatchedError: The number of values differs from the number of variables, or no name is known.
        """
        if increments is None:
            increments = Increments()
        if type(table) is ObjectRow and len(table.object) == len(self._cells) > 1:
            try:
                row = self._pick(table.object)
            except KeyError:
                pass
            else:
                table.is_numeric = self._count_row(row, increments)
                if self._sums is not None:
                    self._sums.add([row], increments)
                return increments

        names = table.names
        if names is None:
            rows = table.rows
        else:
            if self.nesting.has_paths:
                names = self.nesting.flatten(table, names)
            rows = self._order.rows(table, names)
            if self.gaps and names in self.gaps:
                increments.note_gap(self._gap)
        width = rows.shape[1] if isinstance(rows, np.ndarray) else len(rows[0])
        if width != len(self._cells):
            msg = f"{width} values for {len(self._cells)} variables"
            raise UnmatchedError(msg)

        if len(rows) >= BULK_ROWS:
            # Rounding to infinity and comparing NaN are expected: users need no warning.
            with np.errstate(all="ignore"):
                increments.add_block(self._columns.count(rows))
        elif len(rows) == 1 and type(rows) is list:
            is_numeric = self._count_row(rows[0], increments)
            # The values of names that are not counted may be of any kind.
            table.is_numeric = is_numeric and (names is None or len(names) == width)
        else:
            for row in row_lists(rows) if isinstance(rows, np.ndarray) else rows:
                self._count_row(row, increments)

        if self._sums is not None:
            self._sums.add(rows, increments)
        return increments

    def _count_row(self, row: Any, increments: Increments) -> bool:
        """Count a row; return whether it was all plain finite numbers."""
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
                return total - total == 0

        cells, words = [], []
        for locate, value in zip(self._locators, row, strict=True):  # half the time of unzipping pairs
            cell, word = locate(value)
            cells.append(cell)
            words.append(word)
        increments.cells += cells
        if self._buckets is not None:
            increments.cells.append(self._buckets + bucket_of(self._pack(*words)))
        return False

    def count_value(self, value: Any, increments: Increments) -> None:
        """Count one value of the only variable, adding to *increments*."""
        if self._is_continuous and not self._is_narrow and type(value) is float and value - value == 0:
            increments.cells.append(self._offsets[0] + bisect_left(self._bounds[0], value))
            if self._buckets is not None:
                increments.cells.append(self._buckets + bucket_of(self._pack(value)))
            if self._first_sum is not None and value:
                increments.sums.append((self._first_sum + (value < 0), abs(value)))
            return

        self._count_row((value,), increments)
        if self._sums is not None:
            self._sums.add_value(0, value, increments)


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
