"""From values to cells: which bin, category or special cell each value of a row or a batch falls into.

One row costs a binary search per value in pure Python; a batch is counted column by column with NumPy. Both give the
same cells as comparing with ``(lower, upper]`` directly, bit for bit.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import add, itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.binning import narrow_bounds
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution
from flask_boxkite.live.store import Increments
from flask_boxkite.payloads.table import Table
from flask_boxkite.values import InvalidValue, to_number, to_text

__all__ = ["UnmatchedError", "VariableCounter"]

BULK_ROWS = 12
"""From this many rows on, counting by column is faster than row by row."""

WIDE_ROW = 48
"""From this many variables on, comparing a row with all bounds at once is faster than a search per value."""

_FLOATS = {float}
_NUMBERS = {float, int}
_MAX_PLANS = 256
_EXACT_INTEGERS = 2**53


class UnmatchedError(ValueError):
    """Rows that cannot be matched with the variables: a wrong number by position, or no known name."""


class _ContinuousCells:
    """Finds the cell of a number."""

    def __init__(self, distribution: Continuous, offset: int) -> None:
        self.bounds = distribution.upper_bounds
        self.offset = offset
        self.missing = offset + len(self.bounds) + 1
        self.invalid = self.missing + 1
        self._narrow: dict[str, NDArray[Any]] = {}

    def locate(self, value: Any) -> int:
        if type(value) is int:  # compared exactly, however large
            return self.offset + bisect_left(self.bounds, value)
        try:
            number = to_number(value)
        except InvalidValue:
            return self.invalid
        if number != number:
            return self.missing
        return self.offset + bisect_left(self.bounds, number)

    def count(self, column: NDArray[Any], block: NDArray[np.int64]) -> None:
        """Count an array of numbers."""
        found = np.bincount(
            np.searchsorted(self._bounds_for(column.dtype), column, side="left"), minlength=len(self.bounds) + 1
        )
        missing = int(np.count_nonzero(column != column))
        found[-1] -= missing  # NaN is searched as if above everything
        block[self.offset : self.missing] += found
        block[self.missing] += missing

    def _bounds_for(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        bounds = self._narrow.get(dtype.char)
        if bounds is None:
            bounds = self._narrow[dtype.char] = narrow_bounds(self.bounds, dtype)
        return bounds


class _DiscreteCells:
    """Finds the cell of a category."""

    def __init__(self, distribution: Discrete, offset: int) -> None:
        self.is_text = distribution.is_text
        self._read: Callable[[Any], Any] = to_text if self.is_text else to_number
        self._cells: dict[Any, int] = {value: offset + i for i, value in enumerate(distribution.values)}
        rare = offset + len(distribution.categories)
        # If training dropped rare categories, an unknown one may be one of them.
        self._other = rare if distribution.rare else rare + 1
        self.missing = rare + 2
        self.invalid = rare + 3

    def locate(self, value: Any) -> int:
        try:
            key = self._read(value)
        except InvalidValue:
            return self.invalid
        if key is None or key != key:
            return self.missing
        return self._cells.get(key, self._other)

    def count(self, column: NDArray[Any], block: NDArray[np.int64]) -> None:
        """Count an array of numbers."""
        values, counts = np.unique(column, return_counts=True)
        for value, number in zip(values, counts.tolist(), strict=True):
            block[self.locate(value)] += number


class VariableCounter:
    """Counts rows of features, or of outputs, in the cells of a model.

    Args:
        distributions: The variables, whose bins are counted in.
        offset: The cell at which the first of them starts.
        size: Number of cells of the whole model.
        sums: Index of the first pair of sums (of positive and of negative values), one pair per variable; None if no
            sums are kept.
    """

    def __init__(
        self, distributions: Sequence[Distribution], offset: int, size: int, *, sums: int | None = None
    ) -> None:
        self.names = tuple(distribution.name for distribution in distributions)
        self.known = frozenset(self.names)
        self._size = size
        self._sums = sums
        self._cells: list[_ContinuousCells | _DiscreteCells] = []
        for distribution in distributions:
            kind = _ContinuousCells if isinstance(distribution, Continuous) else _DiscreteCells
            self._cells.append(kind(distribution, offset))  # type: ignore[arg-type]
            offset += len(distribution.cells)
        continuous = [cells for cells in self._cells if isinstance(cells, _ContinuousCells)]
        self._bounds = [cells.bounds for cells in continuous]
        self._offsets = [cells.offset for cells in continuous]
        self._locators = [cells.locate for cells in self._cells]
        self._is_continuous = len(continuous) == len(self._cells)
        self._offset_array = np.array(self._offsets, dtype=np.intp)
        self._matrix = _bounds_matrix(self._bounds) if self._is_continuous else None
        self._name_plans: dict[tuple[str, ...], Callable[[Any], Any] | None] = {}

    def count(self, table: Table) -> Increments:
        """Return what the rows add.

        Raises:
            UnmatchedError: By position, a row is not as long as there are variables; by name, none is known.
        """
        rows = self._in_order(table)
        width = rows.shape[1] if isinstance(rows, np.ndarray) else len(rows[0])
        if width != len(self._cells):
            msg = f"{width} values for {len(self._cells)} variables"
            raise UnmatchedError(msg)
        if len(rows) >= BULK_ROWS:
            increments = self._count_columns(rows)
        elif len(rows) == 1:
            increments = self._count_row(rows[0])
        else:
            increments = Increments([])
            for row in rows:
                increments.add(self._count_row(row))
        if self._sums is not None:
            self._add_sums(rows, increments)
        return increments

    def _count_row(self, row: Any) -> Increments:
        # The common row is all numbers. A sum is NaN if any of them is, so a NaN never gets into the search.
        kinds = set(map(type, row)) if self._is_continuous else None
        if (kinds == _FLOATS and (total := sum(row)) == total) or (kinds == _NUMBERS and _is_orderly(row)):
            if self._matrix is None:
                return Increments(list(map(add, self._offsets, map(bisect_left, self._bounds, row))))
            below = (self._matrix < np.array(row, dtype=np.float64)).view(np.uint8)
            return Increments([], wide=np.add.reduce(below, axis=0, dtype=np.uint8) + self._offset_array)
        return Increments([locate(value) for locate, value in zip(self._locators, row, strict=True)])

    def count_value(self, value: Any) -> Increments:
        """Count one value of the only variable."""
        increments = Increments([self._locators[0](value)])
        if self._sums is not None:
            self._add_sums(((value,),), increments)
        return increments

    # --- names -------------------------------------------------------------------------------------------------------

    def _in_order(self, table: Table) -> Any:
        """Return the rows with their values in the order of the variables."""
        names = table.names
        if names is None or names == self.names:
            return table.rows
        if names not in self._name_plans:
            if len(self._name_plans) >= _MAX_PLANS:  # names come from clients
                self._name_plans.clear()
            self._name_plans[names] = self._plan(names)
        pick = self._name_plans[names]
        if pick is None:
            msg = f"none of the names {names[:5]!r} is known"
            raise UnmatchedError(msg)
        return [pick(row) for row in table.rows]

    def _plan(self, names: tuple[str, ...]) -> Callable[[Any], Any] | None:
        positions = {name: index for index, name in enumerate(names)}
        if self.known.isdisjoint(positions):
            return None
        # Names that are not there are taken from the end, where each row gets a None.
        picked = [positions.get(name, -1) for name in self.names]
        if len(picked) == 1:
            return lambda row: [row[picked[0]]]
        get = itemgetter(*picked)
        return lambda row: get([*row, None])

    # --- batches -----------------------------------------------------------------------------------------------------

    def _count_columns(self, rows: Any) -> Increments:
        block = np.zeros(self._size, dtype=np.int64)
        if isinstance(rows, np.ndarray):
            columns = np.ascontiguousarray(rows.T) if rows.dtype.kind in "fiub" else rows.T
            is_numeric = _is_countable(columns)
            for cells, column in zip(self._cells, columns, strict=True):
                self._count_column(cells, column if is_numeric else column.tolist(), block)
        else:
            for cells, values in zip(self._cells, zip(*rows, strict=True), strict=True):
                self._count_column(cells, _numbers(values, cells), block)
        return Increments([], block=block)

    @staticmethod
    def _count_column(cells: _ContinuousCells | _DiscreteCells, column: Any, block: NDArray[np.int64]) -> None:
        if isinstance(column, np.ndarray):
            cells.count(column, block)
        else:
            for value in column:
                block[cells.locate(value)] += 1

    # --- sums --------------------------------------------------------------------------------------------------------

    def _add_sums(self, rows: Any, increments: Increments) -> None:
        """Add up positive and negative values apart, so that neither sum ever falls."""
        assert self._sums is not None
        for index, cells in enumerate(self._cells):
            if isinstance(cells, _DiscreteCells) and cells.is_text:
                continue
            for row in rows:
                value = _finite(row[index])
                if value:
                    increments.sums.append((self._sums + 2 * index + (value < 0), abs(value)))


def _bounds_matrix(bounds: Sequence[tuple[float, ...]]) -> NDArray[np.float64] | None:
    """Return the bounds as an array of shape (bounds, variables), filled up with infinity, if it is worth it."""
    height = max(map(len, bounds), default=0)
    if len(bounds) < WIDE_ROW or height > np.iinfo(np.uint8).max:
        return None
    matrix = np.full((height, len(bounds)), math.inf)
    for index, column in enumerate(bounds):
        matrix[: len(column), index] = column
    return matrix


def _is_orderly(row: Sequence[float]) -> bool:
    """Say whether a row has no NaN and no integer that a float cannot hold exactly."""
    try:
        total = sum(row)
    except OverflowError:
        return False
    if type(total) is float and total != total:
        return False
    return max(row) < _EXACT_INTEGERS and min(row) > -_EXACT_INTEGERS


def _finite(value: Any) -> float:
    """Return a number, or 0 where there is none to add."""
    try:
        number = value if type(value) is float else to_number(value)
    except InvalidValue:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _is_countable(array: NDArray[Any]) -> bool:
    """Say whether numbers of an array can be compared with float bounds without rounding."""
    if array.dtype.kind in "iu":
        return bool(array.size == 0 or (array.min() > -_EXACT_INTEGERS and array.max() < _EXACT_INTEGERS))
    return array.dtype.kind == "f" and array.dtype.itemsize <= 8


def _numbers(values: tuple[Any, ...], cells: _ContinuousCells | _DiscreteCells) -> Any:
    """Return a column as an array if it holds nothing but numbers and belongs to a numeric variable."""
    if getattr(cells, "is_text", False) or not set(map(type, values)) <= {float, int, bool}:
        return values
    array = np.array(values)
    if array.dtype.kind == "b":
        array = array.astype(np.float64)
    return array if _is_countable(array) else values
