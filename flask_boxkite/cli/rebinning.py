"""Rows or counts of one population, counted in the bins of another population's baseline."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flask_boxkite.baseline import Distribution
from flask_boxkite.baseline.distribution import Continuous, Discrete
from flask_boxkite.errors import BinMismatchError
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.payloads import Table

__all__ = ["ColumnCounter", "count_columns", "recount"]

PIECE_ROWS = 100_000

_BEYOND_NUMPY = frozenset({pl.Int128, getattr(pl, "UInt128", pl.Int128)})
"""Integer types that NumPy lacks; UInt128 came to Polars later."""

_NEGLIGIBLE = 0.01
"""Largest share of rows that may be rare in one baseline but have a category in the other."""


class ColumnCounter:
    """Counts the values of one variable, piece by piece, as a server would.

    Args:
        item: Variable to count.

    Attributes:
        cells: The counts, in the order of its cells.
    """

    def __init__(self, item: Distribution) -> None:
        self.cells = np.zeros(len(item.cells), np.int64)
        self._counter = VariableCounter([item], 0, len(item.cells))
        self._is_text = item.is_text

    def add(self, column: pl.Series) -> None:
        """Count a piece of a column."""
        values = column.drop_nulls()
        if values.dtype.is_decimal() or (values.dtype in _BEYOND_NUMPY and not self._is_text):
            values = values.cast(pl.Float64)

        if values.dtype.is_numeric() and not self._is_text:
            self._add(values.to_numpy()[:, np.newaxis])
        elif values.dtype == pl.String and not self._is_text:
            # Nearly all values are numbers and fast to count: only the others are read one by one.
            numbers = values.cast(pl.Float64, strict=False)
            self._add(numbers.drop_nulls().to_numpy()[:, np.newaxis])
            self._add_distinct(values.filter(numbers.is_null()))
        else:
            self._add_distinct(values)
        self._add([[None]], len(column) - len(values))

    def _add_distinct(self, column: pl.Series) -> None:
        """Count equal values together, since there are few different ones."""
        distinct = column.value_counts(name="rows")
        values = distinct.to_series(0)
        # NumPy's scalars keep the type of a number; a narrow float is read by its decimals.
        items = values.to_numpy() if values.dtype.is_float() else values.to_list()
        for value, rows in zip(items, distinct["rows"].to_list(), strict=True):
            self._add([[value]], rows)

    def _add(self, rows: NDArray[np.generic] | list[list[object]], times: int = 1) -> None:
        if not len(rows):
            return
        added = self._counter.count(Table(None, rows))
        if added.block is not None:
            self.cells += times * added.block
        np.add.at(self.cells, added.cells, times)


def count_columns(
    frame: pl.LazyFrame, counters: Sequence[tuple[str, ColumnCounter]], piece_rows: int = PIECE_ROWS
) -> None:
    """Count the rows of a frame, piece by piece, so that only some are in memory.

    Args:
        frame: The rows.
        counters: Counters, each with the name of its column; two may count the same one.
        piece_rows: Number of rows in a piece.
    """
    names = sorted({name for name, _ in counters})
    for piece in frame.select(names).collect_batches(chunk_size=piece_rows, maintain_order=False):
        for name, counter in counters:
            counter.add(piece[name])


def recount(item: Distribution, other: Distribution) -> NDArray[np.int64]:
    """Return the counts of another distribution in the cells of this one.

    Raises:
        BinMismatchError: The counts do not determine them.
    """
    if isinstance(item, Continuous) and isinstance(other, Continuous):
        return np.array([*_recounted_bins(item, other), other.missing, other.invalid], np.int64)
    if isinstance(item, Discrete) and isinstance(other, Discrete):
        return _recounted_categories(item, other)
    msg = f"it is {item.kind} in one, {other.kind} in the other"
    raise BinMismatchError(msg)


def _recounted_bins(item: Continuous, other: Continuous) -> list[int]:
    indexes = {bound: index for index, bound in enumerate(other.upper_bounds, 1)}
    if not indexes.keys() >= set(item.upper_bounds):
        msg = "it has other bins"
        raise BinMismatchError(msg)
    ends = [0, *(indexes[bound] for bound in item.upper_bounds), len(other.counts)]
    return [sum(other.counts[start:end]) for start, end in pairwise(ends)]


def _recounted_categories(item: Discrete, other: Discrete) -> NDArray[np.int64]:
    counts = dict(zip(other.categories, other.counts, strict=True))
    known = [counts.pop(label, None) for label in item.categories]
    if None in known and other.rare > _NEGLIGIBLE * other.rows:
        msg = "values that are a category in one are rare in the other"
        raise BinMismatchError(msg)
    rest = sum(counts.values()) + other.rare
    rare = rest if item.rare else other.rare if None in known else 0
    cells = [*(count or 0 for count in known), rare, rest - rare, other.missing, other.invalid]
    return np.array(cells, np.int64)
