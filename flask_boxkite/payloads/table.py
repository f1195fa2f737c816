"""Rows of values, with or without names: what every payload is turned into before it is counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ObjectRow", "Rows", "Table", "as_table", "from_columns", "from_records", "from_rows"]

Rows: TypeAlias = "list[Any] | NDArray[Any]"

_SCALARS = frozenset({float, int, str, bool, type(None)})


class Table:
    """Values by row.

    Attributes:
        is_numeric: Whether all values are known to be plain finite numbers. Counting finds out by the way.
    """

    __slots__ = ("_names", "_rows", "is_numeric")

    def __init__(self, names: tuple[str, ...] | None, rows: Rows) -> None:
        self._names = names
        self._rows = rows
        self.is_numeric = False

    @property
    def names(self) -> tuple[str, ...] | None:
        """Column names, or None if values are known by position only."""
        return self._names

    @property
    def rows(self) -> Rows:
        """A list of rows, each as long as there are columns; or an array of shape (rows, columns)."""
        return self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def content(self) -> Any:
        """Return the rows as a record keeps them: lists, or objects by name; alone if there is just one."""
        names = self._names
        rows: Any = self._rows.tolist() if isinstance(self._rows, np.ndarray) and names else self._rows
        if names:
            rows = [dict(zip(names, row, strict=False)) for row in rows]
        return rows[0] if len(rows) == 1 else rows


class ObjectRow(Table):
    """One row by name, kept as the object that it came as: names and values are listed only where they are needed.

    Attributes:
        object: A copy of the object.
    """

    __slots__ = ("object",)

    def __init__(self, value: dict[str, Any]) -> None:
        self.object = value.copy()
        self.is_numeric = False

    @property
    def names(self) -> tuple[str, ...]:
        """The keys."""
        return tuple(self.object)

    @property
    def rows(self) -> list[Any]:
        """The values."""
        return [list(self.object.values())]

    def __len__(self) -> int:
        return 1

    def content(self) -> Any:
        """Return the object."""
        return self.object


def as_table(value: Any) -> Table | None:
    """Read a value that has the shape of rows by itself; None if it has not.

    An object is one row by name, a list of plain values one row by position, a list of lists or objects several rows;
    arrays and data frames likewise.
    """
    kind = type(value)
    if kind is dict:
        return ObjectRow(value) if value else None
    if kind is list or kind is tuple:
        return _from_list(value)
    if isinstance(value, np.ndarray):
        return _from_array(value)
    if isinstance(value, (list, tuple)):
        return _from_list(value)
    if isinstance(value, Mapping):
        return as_table(dict(value))
    return _from_frame(value)


def _from_list(values: Sequence[Any]) -> Table | None:
    if not values:
        return None
    first = values[0]
    if type(first) in _SCALARS:  # the common case, told without asking an abstract class
        return Table(None, [list(values)])
    if isinstance(first, Mapping):
        return from_records(values)
    if isinstance(first, (list, tuple, np.ndarray)):
        return from_rows(values)
    return Table(None, [list(values)])


def from_rows(rows: Sequence[Any]) -> Table | None:
    """Read lists of values, one a row. Rows of several lengths cannot be matched by position."""
    if not all(isinstance(row, (list, tuple, np.ndarray)) for row in rows):
        return None
    if len(set(map(len, rows))) != 1 or len(rows[0]) == 0:
        return None
    return Table(None, [list(row) for row in rows])


def from_records(records: Sequence[Any]) -> Table | None:
    """Read objects, one a row; names that some rows lack are None there."""
    if not records or not all(isinstance(record, Mapping) for record in records):
        return None
    names = tuple(dict.fromkeys(name for record in records for name in record))
    if not names:
        return None
    return Table(tuple(map(str, names)), [[record.get(name) for name in names] for record in records])


def from_columns(columns: Mapping[str, Any]) -> Table | None:
    """Read lists of values by name, one list a column, all of one length."""
    values = list(columns.values())
    if not values or not all(isinstance(column, (list, tuple, np.ndarray)) for column in values):
        return None
    if len(set(map(len, values))) != 1 or len(values[0]) == 0:
        return None
    return Table(tuple(map(str, columns)), [list(row) for row in zip(*map(_flat_column, values), strict=True)])


def _flat_column(column: Any) -> Iterable[Any]:
    """Return a column whose values may each stand in a list of their own."""
    return [item[0] if isinstance(item, (list, tuple)) and len(item) == 1 else item for item in column]


def _from_array(array: NDArray[Any]) -> Table | None:
    if isinstance(array, np.ma.MaskedArray):
        is_masked = np.ma.getmaskarray(array)
        array = np.array(array, dtype=object)
        array[is_masked] = None
    if array.dtype.names:
        return from_columns({name: array[name] for name in array.dtype.names})
    if array.ndim == 1 and len(array):
        return Table(None, array[np.newaxis, :].copy())
    if array.ndim == 2 and array.size:
        return Table(None, array.copy())
    return None


def _from_frame(value: Any) -> Table | None:
    """Read a data frame, or a Series as one row."""
    columns = getattr(value, "columns", None)
    if columns is None:
        return _from_series(value)
    for method in ("to_dicts", "to_pylist"):  # polars, pyarrow
        if callable(convert := getattr(value, method, None)):
            return from_records(convert())
    return _from_pandas(value) if hasattr(value, "to_numpy") else None


def _from_series(value: Any) -> Table | None:
    """Read a Series as one row: by name if its index has names, as a row of a pandas frame does."""
    if not callable(convert := getattr(value, "to_list", None)):
        return None
    found = _from_list(convert())
    index = getattr(value, "index", None)
    if found is None or index is None or callable(index) or not all(isinstance(name, str) for name in index):
        return found
    return Table(tuple(index), found.rows) if len(found) == 1 else None


def _from_pandas(frame: Any) -> Table | None:
    if not len(frame):
        return None
    names = tuple(map(str, frame.columns))
    kinds = set(frame.dtypes)
    if len(kinds) == 1 and (array := frame.to_numpy()).dtype.kind in "iufb":
        return Table(names, array.copy())
    # Column by column: one array for all would widen float32, which then lose their shortest decimals.
    columns = [list(frame.iloc[:, index].to_numpy()) for index in range(len(names))]
    return Table(names, [list(row) for row in zip(*columns, strict=True)])
