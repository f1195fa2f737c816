"""Tables with columns of vectors: payload conventions read the components of a vector as rows, or as features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flask_boxkite.payloads.table import SCALARS, Table

__all__ = ["VectorTables"]

_NUMBERS = SCALARS - {str}
_DEEPEST = 64
"""Most lists around a component, as in arrays of NumPy: a list that holds itself has no end."""


class VectorTables:
    """Gives each vector its own value of a row.

    Args:
        names: Names of a row's columns.
        sizes: Number of components of a vector, by the name of its column.
    """

    def __init__(self, names: Sequence[str], sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._only = sizes[names[0]] if len(names) == 1 and names[0] in sizes else 0

    def shaped(self, table: Table) -> Table:
        """Return a table in which components that were read as rows, or as columns, are vectors; others as they are."""
        if not self._sizes or not len(table):
            return table
        if table.names is None:
            return _shaped_positions(table, self._only) if self._only else table
        names = table.names
        places = [(place, self._sizes[name]) for place, name in enumerate(names) if name in self._sizes]
        rows = table.rows
        # Beside other columns, a vector is no column of its own, so these are rows.
        if len(names) == len(places) == 1 and _are_components([row[0] for row in rows], places[0][1]):
            return Table(names, [[_listed(column) for column in zip(*rows, strict=True)]])
        if len(rows) == 1 and (number := _number_of_vectors(rows[0], places)) > 1:
            columns = [_split(value, number) for value in rows[0]]
            if all(len(column) == number for column in columns):
                return Table(names, list(map(list, zip(*columns, strict=True))))
        return table


def _shaped_positions(table: Table, size: int) -> Table:
    """Return a column of vectors from rows whose values have no names, where a vector is all that a row has."""
    rows = table.rows
    width = len(rows[0])
    if width == 1 and (size == 1 or not _is_number(rows[0][0])):
        return table  # vectors, each a value of a row
    if width != size and _size(rows[0]) * len(rows) == size:
        return Table(None, [[_listed(rows)]])
    return Table(None, [[row] for row in rows])


def _are_components(values: Sequence[Any], size: int) -> bool:
    """Say whether values of a column are together one vector: single numbers, or its rows."""
    if size == 1:
        return False
    if all(map(_is_number, values)):
        return any(value is not None for value in values)
    sizes = set(map(_size, values))
    return len(values) > 1 and sizes == {size / len(values)} and not any(map(_is_number, values))


def _number_of_vectors(row: Sequence[Any], places: Sequence[tuple[int, int]]) -> int:
    """Return the number of vectors in an array that stands for a column; 1 for none."""
    for place, size in places:
        value = row[place]
        if isinstance(value, np.ndarray) and value.ndim > 1 and value.size == len(value) * size:
            return len(value)
    return 1


def _split(value: Any, number: int) -> Sequence[Any]:
    """Return the values of a column that came as one; a single value stands alone."""
    return list(value) if isinstance(value, (list, tuple, np.ndarray)) and len(value) == number else [value]


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBERS or isinstance(value, (np.number, np.bool_))


def _size(value: Any) -> int:
    """Return the number of components, judged by the first of each list."""
    if isinstance(value, np.ndarray):
        return value.size
    size = 1
    for _ in range(_DEEPEST):
        if not isinstance(value, (list, tuple)) or not value:
            break
        size *= len(value)
        value = value[0]
    return size


def _listed(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)
