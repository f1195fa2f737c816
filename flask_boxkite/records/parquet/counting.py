"""Rows of a group, counted as columns in the cells of a baseline.

A column of numbers is an array already. A column of texts has few different ones, each of which is looked up once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Distribution
from flask_boxkite.live.batches import batches
from flask_boxkite.live.cells import Cells, cells_of
from flask_boxkite.records.parquet.places import is_whole
from flask_boxkite.values.rowhash import MISSING_WORD, ROW_BUCKETS, buckets_of

if TYPE_CHECKING:  # pyarrow is not there where only lines are read
    from flask_boxkite.records.parquet.layout import Variable
    from flask_boxkite.records.parquet.part import Group

__all__ = ["ColumnRows", "Side"]


class Side:
    """The features, or the outputs, of a baseline, whose rows come as columns.

    Args:
        distributions: Distributions of the variables.
        offset: First cell of the first variable.
        size: Number of cells of the whole model.
        buckets: First of the cells in which whole rows are counted; None to count no rows.
    """

    def __init__(self, distributions: Sequence[Distribution], offset: int, size: int, buckets: int | None) -> None:
        self._cells: list[Cells] = []
        for distribution in distributions:
            self._cells.append(cells_of(distribution, offset))
            offset += len(distribution.cells)
        self._is_numeric = all(item.is_numeric for item in self._cells)
        self._batches = batches(self._cells, size, buckets)
        self._size, self._buckets = size, buckets

    def count(self, group: Group, variables: Sequence[Variable], chosen: NDArray[np.intp]) -> ColumnRows:
        """Count rows of a group.

        Args:
            group: Group of rows.
            variables: Variables of this side.
            chosen: Indices of the rows.
        """
        located = np.empty((len(chosen), len(variables)), dtype=np.int32)
        if not len(chosen):
            return ColumnRows(np.zeros(self._size, dtype=np.int64), located)
        if self._is_numeric:
            own = slice(None) if is_whole(chosen, group.rows) else chosen
            columns = [group.floats(item.column)[own] for item in variables]
            return ColumnRows(self._batches.count_columns(columns, located), located)

        words = np.empty(located.shape, dtype="<u8")
        with np.errstate(all="ignore"):
            for place, (cells, variable) in enumerate(zip(self._cells, variables, strict=True)):
                if variable.kind == "number":
                    column = group.floats(variable.column)[chosen]
                    _locate_numbers(cells, column, located[:, place], words[:, place])
                else:
                    texts = group.taken(variable.column, chosen)
                    _locate_texts(cells, texts, located[:, place], words[:, place])
        block = np.bincount(located.ravel(), minlength=self._size)
        if self._buckets is not None:
            block[self._buckets : self._buckets + ROW_BUCKETS] += buckets_of(words)
        return ColumnRows(block, located)


class ColumnRows(NamedTuple):
    """The counts of some rows.

    Attributes:
        block: Number of values in each cell of the model, and of rows in each bucket.
        located: Cell of each value, shape (rows, variables).
    """

    block: NDArray[np.int64]
    located: NDArray[np.int32]


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
