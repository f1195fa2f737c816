"""Columns of training data row by row, for statements about several columns of the same row.

`columns` counts each column by itself and drops missing values. Here each row keeps its place.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.training.columns import as_array, is_beyond_numpy, native_series
from flask_boxkite.values.conversion import BOOLEAN_TEXTS, InvalidValue, folded, is_missing_text, to_number, to_text
from flask_boxkite.values.times import to_seconds

__all__ = ["as_items", "labels_of_rows", "numbers_of_rows", "seconds_of_rows", "texts_of_rows"]


def numbers_of_rows(values: Any) -> NDArray[Any]:
    """Return the number in each row, NaN where there is none; narrow floats stay narrow, for `narrow_bounds`."""
    column = as_items(values)
    if isinstance(column, np.ndarray):
        return column if column.dtype.kind == "f" and column.dtype.itemsize <= 8 else column.astype(np.float64)
    if set(map(type, column)) <= {float, int, bool}:
        with suppress(OverflowError):  # an integer beyond all floats
            return np.array(column, dtype=np.float64)
    return np.array(list(map(_number, column)), dtype=np.float64)


def seconds_of_rows(values: Any) -> NDArray[np.float64]:
    """Return the date or moment in each row, in seconds since 1970; NaN where there is none."""
    return np.array([_seconds(value) for value in as_items(values)], dtype=np.float64)


def labels_of_rows(
    values: Any, missing_texts: Collection[str] = ()
) -> tuple[list[str] | list[float], NDArray[np.intp]]:
    """Return the distinct values of a column, ascending, and the index of each row's value; -1 where it is missing.

    Numbers and booleans are numbers, also as the texts ``true`` and ``false``. If any other value is a text, all are,
    and ``none`` or ``NA`` is a label as any other. Beside numbers, such a text stands for a missing value.

    Args:
        values: Column in any form.
        missing_texts: Texts that stand for a missing value, each `folded`.
    """
    column = as_items(values)
    if isinstance(column, np.ndarray):
        return _labels_of_numbers(column.astype(np.float64))
    texts = _texts(column, missing_texts)
    numbers = list(map(_number_by_type, column))
    plain = [
        number for number, text in zip(numbers, texts, strict=True) if text is not None and not is_missing_text(text)
    ]
    if plain and all(map(math.isfinite, plain)):
        return _labels_of_numbers(np.array(numbers, dtype=np.float64))
    return _labels_of_texts(texts)


def texts_of_rows(values: Any, missing_texts: Collection[str] = ()) -> tuple[list[str], NDArray[np.intp]]:
    """Return the distinct texts of a column as `labels_of_rows` does, with numbers as texts."""
    return _labels_of_texts(_texts(as_items(values), missing_texts))


def _labels_of_texts(texts: Sequence[str | None]) -> tuple[list[str], NDArray[np.intp]]:
    known = sorted({text for text in texts if text is not None})
    places = {text: place for place, text in enumerate(known)}
    return known, np.array([-1 if text is None else places[text] for text in texts], dtype=np.intp)


def _labels_of_numbers(numbers: NDArray[np.float64]) -> tuple[list[float], NDArray[np.intp]]:
    is_known = np.isfinite(numbers)
    known, places = np.unique(numbers[is_known] + 0.0, return_inverse=True)
    rows = np.full(len(numbers), -1, dtype=np.intp)
    rows[is_known] = places
    return known.tolist(), rows


def as_items(values: Any) -> NDArray[Any] | Sequence[Any]:
    """Return a column as an array of numbers or booleans, or as a list of Python objects."""
    items = _opened(values)
    if not isinstance(items, np.ndarray):
        return items
    array: NDArray[Any] = items[:, 0] if items.ndim == 2 and items.shape[1] == 1 else items
    if array.dtype.kind not in "biuf":
        return list(array.tolist() if isinstance(array, np.ma.MaskedArray) else array)
    return np.ma.filled(array.astype(np.float64), np.nan) if isinstance(array, np.ma.MaskedArray) else array


def _opened(values: Any) -> NDArray[Any] | Sequence[Any]:
    if isinstance(values, (np.ndarray, list, tuple)):
        return values
    series = native_series(values)
    if series is not None:
        is_plain = series.dtype.is_numeric() and not is_beyond_numpy(series.dtype) and not series.is_null().any()
        return np.asarray(series.to_numpy()) if is_plain else list(series.to_list())
    array: NDArray[Any] | None = as_array(values)
    return list(values) if array is None else array


def _number(value: Any) -> float:
    try:
        return to_number(value)
    except InvalidValue:
        return math.nan


def _seconds(value: Any) -> float:
    try:
        return to_seconds(value)
    except InvalidValue:
        return math.nan


def _texts(values: Iterable[Any], missing_texts: Collection[str]) -> list[str | None]:
    texts = map(_text, values)
    if not missing_texts:
        return list(texts)
    return [None if text is None or folded(text) in missing_texts else text for text in texts]


def _text(value: Any) -> str | None:
    try:
        return to_text(value)
    except InvalidValue:
        return None


def _number_by_type(value: Any) -> float:
    """Return the value of a number or of a boolean, also of a boolean's text; NaN for another text."""
    if isinstance(value, str):
        return BOOLEAN_TEXTS.get(folded(value), math.nan)
    return _number(value)
