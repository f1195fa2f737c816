"""One variable of training data, from any form of column: `Column`.

Missing values are taken out and counted here, without making integers floats.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.errors import BaselineError
from flask_boxkite.values.conversion import InvalidValue, number_by_type, to_number, to_text
from flask_boxkite.values.objects import array_of
from flask_boxkite.values.times import to_seconds

__all__ = ["Column", "as_array", "as_column", "is_beyond_numpy", "is_of_moments", "microseconds_of", "native_series"]

EXACT_INTEGERS = 2**53
"""Largest integer up to which floats hold all integers exactly."""


@dataclass
class Column:
    """The values of one variable, either numbers or texts.

    Attributes:
        numbers: Numbers without NaN, in any order, infinities included; None if the column is textual.
        texts: Rows per text; empty if the column is numeric.
        is_category: Whether the type alone says that the variable is discrete.
        is_time: Whether the numbers are moments, in seconds.
    """

    numbers: NDArray[Any] | None = None
    texts: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    invalid: int = 0
    is_category: bool = False
    is_time: bool = False

    @property
    def rows(self) -> int:
        """All rows, missing and invalid ones included."""
        present = len(self.numbers) if self.numbers is not None else self.texts.total()
        return present + self.missing + self.invalid


def as_column(values: Any, name: str) -> Column:
    """Read one raw column.

    Args:
        values: List, tuple, array, Series or other iterable of numbers, booleans, texts or categoricals, with None, NaN
            and infinities anywhere.

    Raises:
        BaselineError: The column is not one-dimensional.
    """
    if isinstance(values, np.ndarray):
        return _array_column(values, name)
    if isinstance(values, (list, tuple)):
        return _list_column(values)

    series = native_series(values)
    if series is not None:
        return _series_column(series, name)
    if (array := as_array(values)) is not None:
        return _array_column(array, name)

    if isinstance(values, Iterable) and not isinstance(values, (str, bytes, Mapping)):
        return _list_column(list(values))
    msg = f"Column {name!r} must be a list, array or series of values, got {type(values).__name__}."
    raise BaselineError(msg)


def _with_missing(column: Column, missing: int) -> Column:
    column.missing += missing
    return column


def native_series(values: Any) -> Any | None:
    """Return *values* as a narwhals series, or None if it is not a series."""
    import narwhals as nw

    if isinstance(values, nw.Series):
        return values
    series = nw.from_native(values, pass_through=True, allow_series=True)
    return series if isinstance(series, nw.Series) else None


def is_beyond_numpy(dtype: Any) -> bool:
    """Say whether NumPy lacks a numeric type of narwhals."""
    import narwhals as nw

    return bool(dtype.is_decimal()) or dtype in (nw.Int128, nw.UInt128)


def is_of_moments(dtype: Any) -> bool:
    """Say whether a type of narwhals holds dates or moments."""
    import narwhals as nw

    return bool(dtype in (nw.Datetime, nw.Date))


def microseconds_of(series: Any) -> Any:
    """Return a narwhals series of dates or moments as microseconds since 1970, for all years, unlike `datetime`."""
    import narwhals as nw

    return (series.cast(nw.Datetime) if series.dtype == nw.Date else series).dt.timestamp("us")


def _series_column(series: Any, name: str) -> Column:
    """Read a narwhals series, nulls first, so that nullable integers stay exact."""
    import narwhals as nw

    dtype = series.dtype
    if dtype == nw.Object:
        return _list_column(series.to_list())
    present = series.drop_nulls()
    missing = len(series) - len(present)
    if is_beyond_numpy(dtype):
        column = _float_column(np.array([to_number(value) for value in present.to_list()], dtype=np.float64))
    elif dtype.is_numeric():
        column = _array_column(np.asarray(present.to_numpy()), name)
    elif is_of_moments(dtype):
        column = _time_column(microseconds_of(present).to_numpy())
    elif dtype == nw.Boolean:
        column = _array_column(np.array(present.to_list(), dtype=bool), name)
    else:
        column = _list_column(present.to_list())
        column.is_category |= dtype in (nw.String, nw.Categorical, nw.Enum)
    return _with_missing(column, missing)


def _array_column(values: NDArray[Any], name: str) -> Column:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        msg = f"Column {name!r} must have one dimension, got shape {values.shape}. Give each of its columns a name."
        raise BaselineError(msg)
    if isinstance(values, np.ma.MaskedArray):
        present = values.compressed()
        return _with_missing(_array_column(present, name), len(values) - len(present))
    kind = values.dtype.kind
    if kind == "b":
        return Column(values.astype(np.uint8), is_category=True)
    if kind in "iu":
        # Numbers are float64 values; only small integers may stay integers.
        is_exact = values.size == 0 or (values.min() >= -EXACT_INTEGERS and values.max() <= EXACT_INTEGERS)
        return Column(values if is_exact else values.astype(np.float64))
    if kind == "f":
        return _float_column(values if values.dtype.itemsize <= 8 else values.astype(np.float64))
    if kind == "M":
        present = values[~np.isnat(values)].astype("datetime64[us]").astype(np.int64)
        return _with_missing(_time_column(present), len(values) - len(present))

    return _list_column(list(values) if kind == "m" else values.tolist())


def _time_column(microseconds: NDArray[np.int64]) -> Column:
    """Read moments, as microseconds since 1970."""
    return Column(np.asarray(microseconds, dtype=np.int64) / 1e6, is_time=True)


def _float_column(values: NDArray[Any]) -> Column:
    # A sum is NaN if any value is NaN, at a fraction of the cost of looking at each.
    with np.errstate(invalid="ignore", over="ignore"):
        if not math.isnan(values.sum()):
            return Column(values)
    present = values[~np.isnan(values)]
    return Column(present, missing=len(values) - len(present))


def _list_column(values: Sequence[Any]) -> Column:
    """Read Python objects: as numbers if all of them are numbers, else as texts."""
    kinds = set(map(type, values))
    if kinds <= {float, int, bool}:
        return _number_list_column(values, kinds)
    if _has_text(kinds, values):
        return _column_of_times(values) if _are_times(kinds, values) else _text_column(values)
    present = [value for value in values if not _is_missing(value)]
    column = _valid_numbers(present)
    column.missing += len(values) - len(present)
    return column


def _number_list_column(values: Sequence[Any], kinds: set[type]) -> Column:
    if not values:
        return Column(np.empty(0))
    array = np.array(values)
    if array.dtype.kind == "O":  # integers of more than 64 bits
        array = np.array([to_number(value) for value in values])
    return _array_column(array, "")


def _is_missing(value: Any) -> bool:
    try:
        return to_text(value) is None
    except InvalidValue:
        return False


def _has_text(kinds: set[type], values: Sequence[Any]) -> bool:
    """Say whether any value can only be a text: a string, a date, an identifier."""
    for kind in kinds:
        if issubclass(kind, str):
            return True
        example = next(value for value in values if type(value) is kind)
        if _is_text(example):
            return True
    return False


def _is_text(value: Any) -> bool:
    """Say whether a value's type makes it a text rather than a number, as for a date or an identifier."""
    try:
        if number_by_type(value) is not None:
            return False
    except InvalidValue:  # a duration without a fixed length
        pass
    try:
        return to_text(value) is not None
    except InvalidValue:
        return False


def _are_times(kinds: set[type], values: Sequence[Any]) -> bool:
    """Say whether there are dates or moments, and all other values are their texts, or missing."""
    others = {kind for kind in kinds if not issubclass(kind, (date, np.datetime64))}
    return others < kinds and all(_is_time(value) for value in values if type(value) in others)


def _is_time(value: Any) -> bool:
    try:
        to_seconds(value)
    except InvalidValue:
        return False
    return True


def _column_of_times(values: Sequence[Any]) -> Column:
    seconds = np.array([to_seconds(value) for value in values], dtype=np.float64)
    column = _float_column(seconds)
    column.is_time = True
    return column


def _valid_numbers(values: Sequence[Any]) -> Column:
    if values and set(map(type, values)) <= {float, int, bool}:
        return _number_list_column(values, set(map(type, values)))
    kinds = set(map(type, values))
    if len(kinds) == 1 and issubclass(kind := next(iter(kinds)), (np.float16, np.float32)):
        return _float_column(np.array(values, dtype=kind))
    numbers: list[float] = []

    for value in values:
        try:
            numbers.append(to_number(value))
        except InvalidValue:
            continue
    column = _float_column(np.array(numbers, dtype=np.float64))
    column.invalid = len(values) - len(numbers)
    column.is_category = bool(values) and set(map(type, values)) <= {bool, np.bool_}
    return column


def _text_column(values: Sequence[Any]) -> Column:
    column = Column(is_category=True)
    for value, count in _counted(values):
        try:
            text = to_text(value)
        except InvalidValue:
            column.invalid += count
            continue

        if text is None:
            column.missing += count
        else:
            column.texts[text] += count
    return column


def _counted(values: Sequence[Any]) -> Iterable[tuple[Any, int]]:
    """Count equal values first where that is safe: only among texts, because ``1 == True == 1.0``."""
    if set(map(type, values)) <= {str, type(None)}:
        return Counter(values).items()
    return ((value, 1) for value in values)


def as_array(values: Any) -> Any:
    """Return an array of another library as serving reads it; other objects unchanged, for NumPy to refuse."""
    array = array_of(values)
    return np.asanyarray(values) if array is None and hasattr(values, "__array__") else array
