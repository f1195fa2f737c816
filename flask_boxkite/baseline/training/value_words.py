"""A word of 64 bits for each value of a column, equal for equal values of all types and holders."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.training.columns import is_beyond_numpy, is_of_moments, microseconds_of, native_series
from flask_boxkite.values.conversion import InvalidValue, to_number
from flask_boxkite.values.objects import array_of
from flask_boxkite.values.times import to_seconds

__all__ = ["Words", "words_of"]

Words = NDArray[np.uint64]

_PLAIN_NUMBERS = frozenset({float, int, bool, type(None)})

_FLOAT, _WORD = struct.Struct("=d"), struct.Struct("=Q")


def words_of(column: Any, rows: NDArray[np.int64] | None) -> Words | None:
    """Return a word for each value, equal for equal values of all types; None if the object is not a column.

    Args:
        column: Column in any form of training data.
        rows: Indices of the rows; None for all rows.
    """
    if isinstance(column, (list, tuple)):
        return _words_of_objects(column if rows is None else [column[row] for row in rows.tolist()])
    if not isinstance(column, np.ndarray) and (series := native_series(column)) is not None:
        return _words_of_series(series if rows is None else series[rows])
    array = array_of(column)
    if array is None:
        return None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return _words_of_array(array if rows is None else array[rows]) if array.ndim == 1 else None


def _words_of_series(series: Any) -> Words:
    if is_of_moments(series.dtype):  # `datetime` lacks some of their years
        return _words_of_numbers(np.asarray(microseconds_of(series).to_numpy(), dtype=np.float64) / 1e6)
    is_array = series.dtype.is_numeric() and not is_beyond_numpy(series.dtype)
    return _words_of_array(series.to_numpy()) if is_array else _words_of_objects(series.to_list())


def _words_of_array(array: NDArray[Any]) -> Words:
    if isinstance(array, np.ma.MaskedArray):
        words = _words_of_array(array.data)
        return np.where(np.ma.getmaskarray(array), _words_of_numbers(np.array([np.nan])), words)
    if array.dtype.kind in "biuf":
        return _words_of_numbers(array.astype(np.float64))
    return _words_of_objects(list(array) if array.dtype.kind in "mM" else array.tolist())


def _words_of_numbers(numbers: NDArray[np.float64]) -> Words:
    return np.where(np.isnan(numbers), np.nan, numbers + 0.0).view(np.uint64)


def _words_of_objects(values: Sequence[Any]) -> Words:
    if _PLAIN_NUMBERS.issuperset(map(type, values)):
        try:
            return _words_of_numbers(np.array(values, dtype=np.float64))
        except OverflowError:  # an integer beyond all floats
            pass
    words: Iterator[int]
    try:
        known = {value: _word(value) for value in set(values)}
        words = map(known.__getitem__, values)
    except TypeError:  # some, such as lists, have no hash
        words = map(_word, values)

    return np.fromiter(words, np.uint64, len(values))


def _word(value: Any) -> int:
    if not isinstance(value, str):
        try:
            number = to_seconds(value) if isinstance(value, (date, np.datetime64)) else to_number(value)
        except InvalidValue:
            value = str(value)
        else:
            return int(_WORD.unpack(_FLOAT.pack(number + 0.0 if number == number else np.nan))[0])
    return zlib.crc32(value.encode("utf-8", "surrogatepass"))
