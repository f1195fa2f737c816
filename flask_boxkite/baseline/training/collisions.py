"""Row collisions: the probability that two rows of the training data are equal by chance (`drift.recurrence`).

For data in memory, it is estimated from a sample of rows. For an engine, the first rows are taken, so sorted data seems
to have too many equal rows. For a stream, all rows are counted, in bounded memory and in any order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.training.columns import native_series
from flask_boxkite.baseline.training.value_words import Words, words_of
from flask_boxkite.values.objects import array_of

__all__ = ["SAMPLE_ROWS", "RowHashes", "StreamCollisions", "collisions_of", "collisions_of_frame", "reusable", "spread"]

SAMPLE_ROWS = 2**16
"""Most rows of the sample; for a stream, most different rows that are counted exactly."""

_LEAST_ROWS = 30
_MIX, _HALF = np.uint64(0xD6E8FEB86659FD93), np.uint64(32)
_GOLDEN, _ALL_BITS = 0x9E3779B97F4A7C15, 2**64 - 1


def reusable(values: Any) -> Any:
    """Return a column that can be read twice: itself, an array of another library as NumPy's, or a list."""
    if isinstance(values, (list, tuple, str, bytes, Mapping, np.ndarray)) or native_series(values) is not None:
        return values
    if (array := array_of(values)) is not None:
        return array
    return list(values) if isinstance(values, Iterable) else values


class RowHashes:
    """Hashes of the rows of a table whose columns come one after the other, in any order.

    Args:
        most: Number of rows to look at, spread over all; None for all rows.
    """

    def __init__(self, most: int | None = SAMPLE_ROWS) -> None:
        self._most = most
        self._length: int | None = None
        self._rows: NDArray[np.int64] | None = None
        self._hashes: Words | None = None
        self._is_table = True

    def take(self, name: str, column: Any) -> None:
        """Take the next column. If it cannot be read, the rows are unknown; other code reports the error."""
        length = _length(column)
        if self._length is None:
            self._length = length
            if length is not None and self._most is not None and length > self._most:
                self._rows = spread(length, self._most)

        words = words_of(column, self._rows) if self._is_table and length == self._length is not None else None
        if words is None:
            self._is_table = False
        else:
            seed = np.uint64(zlib.crc32(name.encode("utf-8", "surrogatepass")) * _GOLDEN & _ALL_BITS)
            own = _mixed(words ^ seed)
            self._hashes = own if self._hashes is None else self._hashes + own

    @property
    def hashes(self) -> Words | None:
        """A hash for each row; None if there are no columns, or they are unreadable or not equally long."""
        return self._hashes if self._is_table else None

    @property
    def collisions(self) -> float | None:
        """The probability that two rows are equal; None with too few rows to tell."""
        return None if (hashes := self.hashes) is None else collisions_of(hashes)


class StreamCollisions:
    """The collisions of a stream of tables, exact with up to `SAMPLE_ROWS` different rows.

    For more rows there is a sketch: each different row adds its count to one of 65,536 sums, or subtracts it. On
    average, the squares of these sums add up to the squares of the counts, with a standard deviation of 0.6 %.

    References:
        Thorup and Zhang, Tabulation Based 4-Universal Hashing with Applications to Second Moment Estimation, 2004.
    """

    def __init__(self) -> None:
        self._hashes: Words | None = np.empty(0, np.uint64)
        self._counts = np.empty(0, np.int64)
        self._rows = 0
        self._is_known = True

    def add(self, hashes: Words | None) -> None:
        """Add the rows of one table; None for unknown rows, which make the result unknown."""
        if hashes is None:
            self._is_known = False
            return
        self._rows += len(hashes)
        own, counts = np.unique(hashes, return_counts=True)
        if self._hashes is None:
            self._counts += _sketch(own, counts)
            return

        merged, indices = np.unique(np.concatenate([self._hashes, own]), return_inverse=True)
        both = np.concatenate([self._counts, counts])
        summed = np.bincount(indices, weights=both, minlength=len(merged)).astype(np.int64)
        if len(merged) <= SAMPLE_ROWS:
            self._hashes, self._counts = merged, summed
        else:
            self._hashes, self._counts = None, _sketch(merged, summed)

    @property
    def collisions(self) -> float | None:
        """The probability that two rows are equal; None with too few rows to tell."""
        if not self._is_known or self._rows < _LEAST_ROWS:
            return None
        return _probability(self._counts, self._rows)


def collisions_of(hashes: Words) -> float | None:
    """Return the probability that two of these rows are equal; None with too few rows to tell."""
    if len(hashes) < _LEAST_ROWS:
        return None
    _, counts = np.unique(hashes, return_counts=True)
    return _probability(counts, len(hashes))


def collisions_of_frame(frame: Any, names: Sequence[str]) -> float | None:
    """Return the probability that two of the first rows of a narwhals `LazyFrame` are equal in these columns."""
    if not names:
        return None
    hashes = RowHashes()
    first = frame.select(*names).head(SAMPLE_ROWS).collect()
    for name in names:
        hashes.take(name, first.get_column(name))
    return hashes.collisions


def _probability(counts: NDArray[np.int64], rows: int) -> float:
    squares = float((counts.astype(np.float64) ** 2).sum())
    return min(max((squares - rows) / (rows * (rows - 1.0)), 0.0), 1.0)


def _sketch(hashes: Words, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    signed = np.where(hashes & np.uint64(1), counts, -counts)
    return np.bincount(hashes >> np.uint64(48), weights=signed, minlength=2**16).astype(np.int64)


def spread(length: int, most: int) -> NDArray[np.int64]:
    """Return a random row of each equal part, because every n-th row would fall in step with data that repeats."""
    step = length / most
    return ((np.arange(most) + np.random.default_rng(0).random(most)) * step).astype(np.int64)


def _length(column: Any) -> int | None:
    """Return the number of values; None if the object is not a column."""
    try:
        return None if isinstance(column, (str, bytes, Mapping)) else len(column)
    except TypeError:
        return None


def _mixed(hashes: Words) -> Words:
    """Spread differences in some bits over all bits."""
    mixed = (hashes ^ hashes >> _HALF) * _MIX
    mixed = (mixed ^ mixed >> _HALF) * _MIX
    return mixed ^ mixed >> _HALF
