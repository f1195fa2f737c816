"""Arrays of rows: whether NumPy may count them, and their rows as lists."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

__all__ = ["is_countable", "is_narrow", "row_lists"]

_NUMERIC = "biuf"


def is_countable(array: NDArray[Any]) -> bool:
    """Say whether NumPy compares the array's values with bounds as `to_number` would."""
    return array.dtype.kind in _NUMERIC and array.dtype.itemsize <= 8


def is_narrow(array: NDArray[Any]) -> bool:
    """Say whether the array holds floats narrower than Python's, each of which is read by its decimals."""
    return array.dtype.kind == "f" and array.dtype.itemsize < 8


def row_lists(rows: NDArray[Any]) -> list[list[Any]]:
    """Return an array's rows as lists; narrow floats stay scalars, which are read by their decimals."""
    lists: list[list[Any]] = [list(row) for row in rows] if is_narrow(rows) else rows.tolist()
    return lists
