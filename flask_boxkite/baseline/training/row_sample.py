"""Random samples of rows: of chunks that come one after the other, and of lazy frames.

The first rows, or every n-th, would not do: data is sorted, or repeats itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.training.aligned import as_items
from flask_boxkite.baseline.training.collisions import spread

__all__ = ["RowSample", "joined", "random_rows", "spread_rows", "taken"]


class RowSample:
    """A random sample of the rows of all chunks; all rows, in their order, if they are few.

    Args:
        most: Most rows.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._random = np.random.default_rng(0)
        self._keys = np.empty(0)
        self._numbers = np.empty(0, dtype=np.intp)
        self._seen = 0
        self._columns: dict[str, Any] = {}

    def add(self, columns: Mapping[str, Any]) -> None:
        """Take a chunk.

        Args:
            columns: Columns of one length, by name; every chunk has the same names.
        """
        items = {name: as_items(values) for name, values in columns.items()}
        if len(set(map(len, items.values()))) != 1:
            return  # other code reports the error
        keys = self._random.random(len(next(iter(items.values()))))
        numbers = np.arange(self._seen, self._seen + len(keys))
        self._seen += len(keys)
        # A row is in the sample if its key is among the smallest. Twice as many are kept, so that few chunks are cut.
        if len(self._keys) >= self._most:
            chosen = np.flatnonzero(keys < np.partition(self._keys, self._most - 1)[self._most - 1])
            keys, numbers = keys[chosen], numbers[chosen]
            items = {name: taken(values, chosen) for name, values in items.items()}
        known = self._columns
        self._columns = {
            name: joined([known[name], values]) if name in known else values for name, values in items.items()
        }
        self._keys = np.concatenate([self._keys, keys])
        self._numbers = np.concatenate([self._numbers, numbers])
        if len(self._keys) > 2 * self._most:
            self._cut()

    def _cut(self) -> None:
        if len(self._keys) > self._most:
            chosen = np.sort(np.argpartition(self._keys, self._most - 1)[: self._most])
            self._keys, self._numbers = self._keys[chosen], self._numbers[chosen]
            self._columns = {name: taken(values, chosen) for name, values in self._columns.items()}

    @property
    def numbers(self) -> NDArray[np.intp]:
        """The numbers of the sample's rows among all rows, ascending."""
        self._cut()
        return self._numbers

    def columns(self, names: Collection[str]) -> dict[str, Any]:
        """Return the sample's columns of these names."""
        self._cut()
        return {name: self._columns[name] for name in names}


def spread_rows(length: int, most: int) -> NDArray[np.int64]:
    """Return the rows to look at of so many, ascending: all, or random ones, spread over all."""
    return np.arange(length) if length <= most else spread(length, most)


def taken(items: Any, rows: Any) -> Any:
    """Return some rows of a column, which is an array or a list."""
    if len(rows) == len(items):
        return items
    return items[rows] if isinstance(items, np.ndarray) else [items[row] for row in rows.tolist()]


def joined(parts: Sequence[Any]) -> Any:
    """Return one column of several, which are arrays or lists."""
    if all(isinstance(part, np.ndarray) for part in parts) and len({part.dtype for part in parts}) == 1:
        return np.concatenate(parts)
    return [value for part in parts for value in (part.tolist() if isinstance(part, np.ndarray) else part)]


def random_rows(frame: Any, names: Collection[str], rows: int, total: int) -> Any:
    """Return about so many random rows of a lazy frame, in memory, in their order; all if there are no more.

    Two frames of one source get the same rows, except of DuckDB.

    Args:
        frame: A narwhals `LazyFrame`.
        names: Names of the columns.
        rows: Number of rows.
        total: Number of rows of the frame.
    """
    import narwhals as nw

    frame = frame.select(*names)
    if total <= rows:
        return frame.collect()
    engine, native, share = str(frame.implementation), frame.to_native(), rows / total
    if engine == "polars":
        import polars as pl

        index = pl.int_range(pl.len(), dtype=pl.UInt64).hash(0)
        native = native.filter(index < int(share * 2**64))
    elif engine == "duckdb":
        native = native.filter(f"random() < {share!r}")
    else:  # Dask, PySpark
        options = {"frac": share, "random_state": 0} if engine == "dask" else {"fraction": share, "seed": 0}
        native = native.sample(**options)
    return nw.from_native(native).collect()
