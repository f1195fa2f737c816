"""Rows of a group, counted as columns in the cells of a baseline.

A column of numbers is an array already. A column of texts has few different ones, each of which is looked up once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Distribution
from flask_boxkite.live.cells import Cells, cells_of
from flask_boxkite.records.parquet.places import is_whole
from flask_boxkite.values.rowhash import MISSING_WORD, ROW_BUCKETS, buckets_of

if TYPE_CHECKING:  # pyarrow is not there where only lines are read
    from flask_boxkite.records.parquet.layout import Variable
    from flask_boxkite.records.parquet.part import Group

__all__ = ["ColumnRows", "Side", "numbers_of"]

_AT_ONCE = 1024
"""Rows that are transposed at once: within the processor's cache, it takes a third of the time."""


class Side:
    """The features, or the outputs, of a baseline, whose rows come as columns.

    Args:
        distributions: Distributions of the variables.
        offset: First cell of the first variable.
        size: Number of cells of the whole model.
        buckets: First of the cells in which whole rows are counted; None to count no rows.
    """

    def __init__(self, distributions: Sequence[Distribution], offset: int, size: int, buckets: int | None) -> None:
        self.cells: list[Cells] = []
        for distribution in distributions:
            self.cells.append(cells_of(distribution, offset))
            offset += len(distribution.cells)
        self.is_numeric = all(item.is_numeric for item in self.cells)
        self.size, self.buckets = size, buckets


def numbers_of(group: Group, variables: Sequence[Variable], chosen: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return columns of numbers as an array of shape (rows, variables), with NaN for null.

    Args:
        group: Group of rows.
        variables: Variables, which are all numbers.
        chosen: Indices of the rows.
    """
    own = slice(None) if is_whole(chosen, group.rows) else chosen
    columns = [group.floats(item.column)[own] for item in variables]
    count = len(chosen)
    rows = np.empty((count, len(columns)))
    for start in range(0, count, _AT_ONCE):
        stop = start + _AT_ONCE
        for place, column in enumerate(columns):
            rows[start:stop, place] = column[start:stop]
    return rows


class ColumnRows:
    """Some rows of a side whose variables are not all numbers.

    Args:
        side: Side.
        group: Group that holds them.
        variables: Variables of the side.
        chosen: Indices of the rows.
    """

    def __init__(self, side: Side, group: Group, variables: Sequence[Variable], chosen: NDArray[np.intp]) -> None:
        self._side, self._group, self._variables, self._chosen = side, group, variables, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    @cached_property
    def _located(self) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
        """The cell of each value, and its word in the hash of the row, both of shape (rows, variables)."""
        located = np.empty((len(self), len(self._variables)), dtype=np.int32)
        words = np.empty(located.shape, dtype="<u8")
        with np.errstate(all="ignore"):
            for place, (cells, variable) in enumerate(zip(self._side.cells, self._variables, strict=True)):
                if variable.kind == "number":
                    _locate_numbers(
                        cells, self._group.floats(variable.column)[self._chosen], located[:, place], words[:, place]
                    )
                else:
                    column = self._group.taken(variable.column, self._chosen)
                    _locate_texts(cells, column, located[:, place], words[:, place])
        return located, words

    def located(self) -> NDArray[np.int32]:
        """Return the cell of each value, shape (rows, variables)."""
        return self._located[0]

    def count(self) -> NDArray[np.int64]:
        """Return the number of values in each cell of the model, and of rows in each bucket."""
        located, words = self._located
        block = np.bincount(located.ravel(), minlength=self._side.size)
        if self._side.buckets is not None:
            block[self._side.buckets : self._side.buckets + ROW_BUCKETS] += buckets_of(words)
        return block


def _locate_numbers(
    cells: Cells, column: NDArray[np.float64], located: NDArray[np.int32], words: NDArray[np.uint64]
) -> None:
    located[:] = cells.cells_of(column)
    rounded = cells.width.rounded_column(column).astype("<f8")
    words[:] = np.where(np.isnan(rounded), MISSING_WORD, rounded).view("<u8")


def _locate_texts(cells: Cells, column: Any, located: NDArray[np.int32], words: NDArray[np.uint64]) -> None:
    encoded = column.dictionary_encode()
    found = [cells.locate(value) for value in (*encoded.dictionary.to_pylist(), None)]
    own = np.array([word for _, word in found], dtype="<u8" if cells.is_text else "<f8").view("<u8")
    indices = encoded.indices.fill_null(len(found) - 1).to_numpy(zero_copy_only=False)
    located[:] = np.array([cell for cell, _ in found], dtype=np.int32)[indices]
    words[:] = own[indices]
