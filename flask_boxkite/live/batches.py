"""Counting of batches with NumPy: all columns at once where a `grid` can, otherwise column by column.

Where the package was installed with a compiler, a compiled twin counts row by row, except arrays that hold other values
than numbers, or values of a variable that is not numeric.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.compiled import native
from flask_boxkite.live.arrays import is_countable, row_lists
from flask_boxkite.live.cells import PLAIN_NUMBERS, Cells, ContinuousCells, DiscreteCells, fill_words
from flask_boxkite.live.grid import Grid, GridColumn
from flask_boxkite.live.width import Width
from flask_boxkite.values.rowhash import MISSING_TEXT, MISSING_WORD, ROW_BUCKETS, bucket_by_row, buckets_of

__all__ = ["BULK_ROWS", "BatchCounter", "Batches", "CompiledBatches", "batches"]

BULK_ROWS = 12
"""Number of rows from which counting with NumPy is faster than row by row."""

GRID_VALUES = 640
"""Number of values, in columns with bins, from which a grid is faster than a search for each column."""

CALL_VALUES = 128
"""Number of values that are searched in the time of NumPy's calls for each column."""

VALUES_AT_ONCE = 65_536
"""Values of lists that are counted while other threads wait: about a millisecond."""

_ARRAY_ITEMS = PLAIN_NUMBERS | {type(None)}


class BatchCounter(Protocol):
    """Counts batches of one model's features, or outputs; any thread may use it.

    Attributes:
        least_rows: Number of rows from which this is faster than counting row by row.
    """

    least_rows: int

    def count(self, rows: Any, located: NDArray[np.int32] | None = None) -> tuple[NDArray[np.int64], bool]:
        """Return the values in each of the first cells of the model, and whether all are known to be plain JSON.

        Args:
            rows: List of rows, or array of shape (rows, columns), in the order of the variables.
            located: Array of shape (rows, columns), which gets the cell of each value; with one more column, it gets
                the bucket of each row too, from 0 on. None for none.

        Raises:
            ValueError: A row has another number of values.
        """

    def count_columns(
        self, columns: Sequence[NDArray[np.float64]], located: NDArray[np.int32] | None = None
    ) -> NDArray[np.int64]:
        """Return the values in each of the first cells of the model.

        Args:
            columns: Column of each variable, which are all numbers.
            located: Array of shape (rows, columns), as for `count`.
        """

    def locate(self, rows: Any, *, with_buckets: bool = False) -> NDArray[np.int32]:
        """Return the cell of each value, shape (rows, columns); arguments and errors are the same as of `count`.

        Args:
            rows: The rows.
            with_buckets: Whether each row has its bucket, from 0 on, behind its cells.
        """


def batches(cells: Sequence[Cells], size: int, buckets: int | None) -> BatchCounter:
    """Return a counter of batches.

    Args:
        cells: Cells of each variable.
        size: Number of the first cells of the model, among which these are.
        buckets: First of the `ROW_BUCKETS` cells in which whole rows are counted; None to count no rows.
    """
    counter = Batches(cells, size, buckets)
    return counter if native is None else CompiledBatches(counter, cells, size, buckets)


class Batches:
    """Counts batches with NumPy; `batches` explains the arguments."""

    least_rows = BULK_ROWS

    def __init__(self, cells: Sequence[Cells], size: int, buckets: int | None) -> None:
        self._cells = cells
        self._size = size
        self._buckets = buckets

        self._continuous = sum(isinstance(item, ContinuousCells) for item in cells)
        self._has_text = any(item.is_text for item in cells)
        self._unlike_numbers = [index for index, item in enumerate(cells) if not item.is_numeric]
        self._narrow = {index: item.width for index, item in enumerate(cells) if item.width.is_narrow}
        # By type of numbers, made when first needed. Threads that meet make the same one twice.
        self._grids: dict[str, Grid] = {}

    def count(self, rows: Any, located: NDArray[np.int32] | None = None) -> tuple[NDArray[np.int64], bool]:
        """Return the number of values in each cell; see `BatchCounter.count`."""
        if located is not None:
            located[:] = self.locate(rows, with_buckets=located.shape[1] > len(self._cells))
        # Rounding to infinity and comparing NaN are expected: users need no warning.
        with np.errstate(all="ignore"):
            return self._block(rows), False

    def count_columns(
        self, columns: Sequence[NDArray[np.float64]], located: NDArray[np.int32] | None = None
    ) -> NDArray[np.int64]:
        """Return the number of values in each cell; see `BatchCounter.count_columns`."""
        return self.count(np.column_stack(columns), located)[0]

    def _block(self, rows: Any) -> NDArray[np.int64]:
        block = np.zeros(self._size, dtype=np.int64)
        numbers = rows if isinstance(rows, np.ndarray) else self._array_of(rows)
        if numbers is not None and self._is_countable(numbers):
            numbers = self.rounded(numbers)
            self._count_numbers(numbers, block)
            if self._buckets is not None:
                self._count_buckets(self._words_of_numbers(numbers), block)
            return block

        columns = [column.tolist() for column in rows.T] if isinstance(rows, np.ndarray) else zip(*rows, strict=True)
        words = np.empty((len(rows), len(self._cells)), dtype="<f8")
        for index, (cells, values) in enumerate(zip(self._cells, columns, strict=True)):
            self._count_column(cells, _numbers(values, cells), block, words[:, index])
        if self._buckets is not None:
            self._count_buckets(words, block)
        return block

    def locate(self, rows: Any, *, with_buckets: bool = False) -> NDArray[np.int32]:
        """Return the cell of each value; see `BatchCounter.locate`."""
        located = np.empty((len(rows), len(self._cells) + with_buckets), dtype=np.int32)
        numbers = rows if isinstance(rows, np.ndarray) else self._array_of(rows)
        if numbers is not None and self._is_countable(numbers):
            with np.errstate(all="ignore"):
                for index, cells in enumerate(self._cells):
                    located[:, index] = cells.cells_of(numbers[:, index])
                if with_buckets:
                    words = self._words_of_numbers(self.rounded(numbers))
                    located[:, -1] = bucket_by_row(words.view("<u8"))
            return located

        lists = row_lists(rows) if isinstance(rows, np.ndarray) else rows
        words = np.empty((len(rows), len(self._cells)), dtype="<f8")
        for index, (cells, column) in enumerate(zip(self._cells, zip(*lists, strict=True), strict=True)):
            located[:, index] = list(fill_words(cells, column, words[:, index]))
        if with_buckets:
            located[:, -1] = bucket_by_row(words.view("<u8"))
        return located

    def _is_countable(self, rows: NDArray[Any]) -> bool:
        """Say whether an array is counted at once; rounded to floats, an integer is another text: "1.0", not "1"."""
        return is_countable(rows) and (rows.dtype.kind == "f" or not (self._has_text and self._narrow))

    def rounded(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return an array of numbers whose columns are rounded to their widths."""
        wider = [
            index
            for index, width in self._narrow.items()
            if rows.dtype.kind != "f" or rows.dtype.itemsize > width.dtype.itemsize
        ]
        if not wider:
            return rows
        rows = rows.astype(rows.dtype if rows.dtype.kind == "f" else np.float64)
        for index in wider:
            rows[:, index] = self._narrow[index].rounded_column(rows[:, index])
        return rows

    def _count_buckets(self, words: NDArray[np.float64], block: NDArray[np.int64]) -> None:
        assert self._buckets is not None
        block[self._buckets : self._buckets + ROW_BUCKETS] += buckets_of(words.view("<u8"))

    def _words_of_numbers(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return the words of an array of numbers; a narrow float's word is the float itself, not its decimals."""
        words = np.ascontiguousarray(rows, dtype="<f8")
        is_missing = np.isnan(words)
        if is_missing.any():  # NaN has several bit patterns
            words = np.where(is_missing, MISSING_WORD, words)
        if self._unlike_numbers:
            words = words.copy()
            for index in self._unlike_numbers:
                fill_words(self._cells[index], rows[:, index], words[:, index])
        return words

    def _array_of(self, rows: list[Any]) -> NDArray[np.float64] | None:
        """Return lists as an array if they hold only numbers and None, and all variables are numeric."""
        values = [] if self._has_text else list(chain.from_iterable(rows))
        if not values or not _ARRAY_ITEMS.issuperset(map(type, values)):
            return None
        try:
            return np.array(values, dtype=np.float64).reshape(len(rows), -1)
        except OverflowError:  # an integer beyond all floats
            return None

    def _count_numbers(self, rows: NDArray[Any], block: NDArray[np.int64]) -> None:
        """Count an array of numbers: most columns by a grid, the rest one by one."""
        rest: Sequence[int] = range(len(self._cells))
        if (len(rows) + CALL_VALUES) * self._continuous >= GRID_VALUES:
            grid = self._grid_for(rows.dtype)
            block += grid.count(rows)
            rest = [index for index in rest if index not in grid.positions]
        if rest:
            columns = np.ascontiguousarray(rows.T if len(rest) == len(self._cells) else rows.T[rest])
            for index, column in zip(rest, columns, strict=True):
                self._cells[index].count(column, block)

    def _grid_for(self, dtype: np.dtype[Any]) -> Grid:
        kind = _kind(dtype)
        grid = self._grids.get(kind)
        if grid is None:
            columns = [
                GridColumn(index, cells.bounds_for(dtype).astype(np.float64), cells.offset)
                for index, cells in enumerate(self._cells)
                if isinstance(cells, ContinuousCells)
            ]
            grid = self._grids[kind] = Grid(columns, self._size)
        return grid

    @staticmethod
    def _count_column(cells: Cells, column: Any, block: NDArray[np.int64], words: NDArray[np.float64]) -> None:
        """Count a column in *block*, and write its values to *words*."""
        if isinstance(column, np.ndarray):
            cells.count(column, block)
            rounded = cells.width.rounded_column(column)
            words[:] = np.where(np.isnan(rounded), MISSING_WORD, rounded)
        else:
            for cell in fill_words(cells, column, words):
                block[cell] += 1


class CompiledBatches:
    """Counts batches with the compiled twins; `batches` explains the other arguments.

    Args:
        counter: Counter of batches that the twins leave out.
    """

    def __init__(self, counter: Batches, cells: Sequence[Cells], size: int, buckets: int | None) -> None:
        self._counter = counter
        self._cells = cells
        self._size = size
        self._buckets = buckets
        self.least_rows = _least_rows(len(cells), size)
        self._rows_at_once = max(1, VALUES_AT_ONCE // max(1, len(cells)))
        self._rows = native.RowCells(cells, buckets, MISSING_TEXT)
        self._is_numeric = all(item.is_numeric for item in cells)
        # By type of numbers, made when first needed. Threads that meet make the same one twice.
        self._arrays: dict[str, Any] = {}

    def count(self, rows: Any, located: NDArray[np.int32] | None = None) -> tuple[NDArray[np.int64], bool]:
        """Return the number of values in each cell; see `BatchCounter.count`."""
        block, is_plain = np.zeros(self._size, dtype=np.int64), False
        if not isinstance(rows, np.ndarray):
            is_plain = True
            for start in range(0, len(rows), self._rows_at_once):
                some = slice(start, start + self._rows_at_once)
                is_plain &= self._rows.count_rows(rows[some], block, None if located is None else located[some])
        elif not (self._is_numeric and is_countable(rows)):
            return self._counter.count(rows, located)
        else:
            self._count_array(rows, block, located)
        return block, is_plain

    def count_columns(
        self, columns: Sequence[NDArray[np.float64]], located: NDArray[np.int32] | None = None
    ) -> NDArray[np.int64]:
        """Return the number of values in each cell; see `BatchCounter.count_columns`."""
        block = np.zeros(self._size, dtype=np.int64)
        with np.errstate(all="ignore"):
            rounded = [
                np.ascontiguousarray(item.width.rounded_column(column), dtype=np.float64)
                for item, column in zip(self._cells, columns, strict=True)
            ]
        self._array_rows(np.dtype(np.float64)).count_columns(rounded, block, located)
        return block

    def _count_array(
        self, rows: NDArray[Any], block: NDArray[np.int64] | None, located: NDArray[np.int32] | None
    ) -> None:
        with np.errstate(all="ignore"):
            rows = self._counter.rounded(rows)
            self._array_rows(rows.dtype).count(np.ascontiguousarray(rows, dtype=np.float64), block, located)

    def locate(self, rows: Any, *, with_buckets: bool = False) -> NDArray[np.int32]:
        """Return the cell of each value; see `BatchCounter.locate`."""
        located = np.empty((len(rows), len(self._cells) + with_buckets), dtype=np.int32)
        if not isinstance(rows, np.ndarray):
            self._rows.count_rows(rows, None, located)
        elif not (self._is_numeric and is_countable(rows)):
            return self._counter.locate(rows, with_buckets=with_buckets)
        else:
            self._count_array(rows, None, located)
        return located

    def _array_rows(self, dtype: np.dtype[Any]) -> Any:
        kind = _kind(dtype)
        rows = self._arrays.get(kind)
        if rows is None:
            cells = [_of_type(item, dtype) for item in self._cells]
            rows = self._arrays[kind] = native.ArrayRows(cells, self._buckets)
        return rows


def _least_rows(width: int, size: int) -> int:
    """Return the number of rows from which a compiled count of all is faster than one for each row.

    A row costs 250 ns and 45 ns a value, a batch 1.5 µs and 1.2 ns for each cell of the model.
    """
    return max(2, round((1500 + 1.2 * size) / (250 + 45 * width)))


def _kind(dtype: np.dtype[Any]) -> str:
    """Return the type of numbers as which numbers of this type are compared."""
    return dtype.char if dtype.kind == "f" else "d"


class _Bins(NamedTuple):
    """Cells of numbers of one type; see `ContinuousCells`."""

    offset: int
    bounds: list[float]
    missing: int
    width: Width = Width(64)


class _Categories(NamedTuple):
    """Cells of categories that are numbers of one type; see `DiscreteCells`."""

    categories: dict[float, int]
    other: int
    missing: int
    width: Width = Width(64)
    is_text: bool = False


def _of_type(cells: Cells, dtype: np.dtype[Any]) -> _Bins | _Categories:
    """Return the cells of a numeric variable for an array of this type."""
    if isinstance(cells, ContinuousCells):
        return _Bins(cells.offset, cells.bounds_for(dtype).tolist(), cells.missing)
    assert isinstance(cells, DiscreteCells)
    numbers, indices = cells.categories_for(dtype)
    categories = dict(zip(numbers[:-1].tolist(), indices.tolist(), strict=True))
    return _Categories(categories, cells.other, cells.missing)


def _numbers(values: Sequence[Any], cells: Cells) -> Any:
    """Return a column as an array if it holds only numbers and None and belongs to a numeric variable."""
    if not cells.is_numeric or not _ARRAY_ITEMS.issuperset(map(type, values)):
        return values
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:  # an integer beyond all floats
        return values
