"""Counting of rows and batches: the bin, category or special cell of each value.

A few rows are counted one by one (`row_cells`), more at once (`batches`). Each way gives the same cells, bit for
bit, as comparing the number from `to_number` with ``(lower, upper]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.live.arrays import is_countable, is_narrow, row_lists
from flask_boxkite.live.batches import batches
from flask_boxkite.live.cells import Cells, NoteUnread, cells_of
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.name_order import NameOrder, UnmatchedError
from flask_boxkite.live.nesting import Nesting
from flask_boxkite.live.row_cells import row_cells
from flask_boxkite.live.signed_sums import SignedSums
from flask_boxkite.payloads.table import Table

__all__ = ["VariableCounter"]


class VariableCounter:
    """Counts rows of features, or of outputs, in the cells of a model.

    Args:
        distributions: Distributions of the variables, with their bins.
        offset: First cell of the first variable.
        size: Number of the first cells of the model, among which these are.
        buckets: First of the `ROW_BUCKETS` cells in which whole rows are counted; None to count no rows.
        sums: Index of the first pair of sums (of positive and of negative values), one pair per variable; None for no
            sums.
        keeps_interpreter: Whether other threads wait for the interpreter, which NumPy's search gives up for a moment.
            Waking them for nothing costs 30 µs, and a search in Python only 3 µs more than one in NumPy.
        gap: Kind of gap to note in increments for rows whose names may be misspelt; empty for none.
        locates: Whether to note the cells of several rows, row by row, for pairs and segments.
        locates_buckets: Whether to note the buckets of these rows too.

    Attributes:
        names: Names of the variables, in their order.
        known: Names of the variables, as a set.
        gaps: Names of rows that lack a variable and have an unknown name, which may be its misspelling.
        nesting: Takes variables whose names are paths out of nested values.
        pick: Returns the variables' values of an object, in their order.
        rows: Counts single rows.
        sums: Adds up values; None for no sums.
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
        locates: bool = False,
        locates_buckets: bool = False,
    ) -> None:
        self.names = tuple(distribution.name for distribution in distributions)
        self.known = frozenset(self.names)
        self._cells: list[Cells] = []
        for distribution in distributions:
            self._cells.append(cells_of(distribution, offset))
            offset += len(distribution.cells)

        self._batches = batches(self._cells, size, buckets)
        self.nesting = Nesting(self.names)
        self._order = NameOrder(self.names, notes_gaps=bool(gap))
        self._gap = gap
        self._locates, self._locates_buckets = locates, locates_buckets and buckets is not None
        self.gaps = self._order.gaps
        self.sums = None if sums is None else SignedSums(sums, [cells.is_text for cells in self._cells])

        self.pick = _picker(self.names)
        # A row whose cells are listed in their order is not searched at once.
        self.rows = row_cells(self._cells, buckets, keeps_interpreter=keeps_interpreter or locates)

    def watch_unread(self, note_of: Callable[[str], NoteUnread]) -> None:
        """Hand each value that counts as invalid to the function that *note_of* returns for the variable's name."""
        for name, cells in zip(self.names, self._cells, strict=True):
            cells.note_unread = note_of(name)

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
        row = table.row(self.pick, len(self._cells))
        if row is not None:
            table.is_plain = self.rows.count(row, increments)
            if self.sums is not None:
                self.sums.add([row], increments)
            return increments

        names, rows = self._in_order(table, increments)
        width = rows.shape[1] if isinstance(rows, np.ndarray) else len(rows[0])
        if width != len(self._cells):
            msg = f"{width} values for {len(self._cells)} variables"
            raise UnmatchedError(msg)

        is_array = isinstance(rows, np.ndarray)
        if len(rows) >= self._batches.least_rows or (is_array and is_narrow(rows)):
            located = _room(len(rows), width + self._locates_buckets) if self._locates else None
            block, is_plain = self._batches.count(rows, located)
            increments.add_block(block)
        else:
            lists = row_lists(rows) if is_array else rows
            is_plain = all([self.rows.count(row, increments) for row in lists])
            located = self._batches.locate(rows, with_buckets=self._locates_buckets) if self._locates else None
        if located is not None:
            increments.note_located(located)
        # Else the values of a name that is not counted may be of any kind.
        is_whole = names is None or names == self.names or (len(names) == width and self.known == set(names))
        table.is_plain = is_countable(rows) if is_array else is_plain and is_whole

        if self.sums is not None:
            self.sums.add(rows, increments)
        return increments

    def in_order(self, table: Table) -> Any:
        """Return the rows of a table with their values in the order of the variables.

        Raises:
            UnmatchedError: The number of values differs from the number of variables, or no name is known.
        """
        return self._in_order(table, Increments())[1]

    def _in_order(self, table: Table, increments: Increments) -> tuple[tuple[str, ...] | None, Any]:
        """Return the names of a table's columns, and its rows in the order of the variables."""
        names = table.names
        if names is None:
            return None, table.rows
        if self.nesting.has_paths:
            names = self.nesting.flatten(table, names)
        rows = self._order.rows(table, names)
        if self.gaps and names in self.gaps:
            increments.note_gap(self._gap)
        return names, rows

    def count_and_locate(self, rows: Any) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the values in each of the first cells of the model, and the cell of each value.

        Args:
            rows: List of rows, or array of shape (rows, columns), in the order of the variables.
        """
        located = _room(len(rows), len(self._cells))
        return self._batches.count(rows, located)[0], located

    def count_value(self, value: Any, increments: Increments) -> None:
        """Count one value of the only variable, adding to *increments*."""
        self.rows.count((value,), increments)
        if self.sums is not None:
            self.sums.add_value(0, value, increments)


def _room(rows: int, columns: int) -> NDArray[np.int32]:
    """Return an array for the cells of rows."""
    return np.empty((rows, columns), dtype=np.int32)


def _picker(names: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return a function that takes the values of these names out of an object."""
    if len(names) != 1:
        return itemgetter(*names) if names else tuple
    (name,) = names
    return lambda item: (item[name],)
