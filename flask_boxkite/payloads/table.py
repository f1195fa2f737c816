"""Rows of values, with or without names: the form of every request and answer before it is counted."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.values.conversion import is_base64, plain
from flask_boxkite.values.objects import array_of, columns_of, is_value, opened, scalar_value, standard, values_of

__all__ = [
    "SCALARS",
    "ObjectRow",
    "Rows",
    "Table",
    "as_table",
    "beside_columns",
    "flat",
    "from_columns",
    "from_records",
    "from_rows",
    "known_items",
]

Rows: TypeAlias = "list[Any] | NDArray[Any]"

SCALARS = frozenset({float, int, str, bool, type(None)})
"""Types of plain values in JSON."""

MOST_SPARSE = 1_000_000
"""Number of cells, missing ones included, above which at least one in `_SPARSEST` must have a value."""

_SPARSEST = 16
_DEEPEST = 1000
"""Most lists around a value: a list that holds itself, which a view can make of its input, has no end."""
_LISTS = frozenset({list, tuple})
_DICTS = frozenset({dict})
_CONTAINERS = frozenset({dict, list, tuple})


class Table:
    """Values by row. An empty batch has no rows, but may have names.

    Attributes:
        is_plain: Whether the content is known to be plain JSON, of numbers and texts, which counting finds out.
    """

    __slots__ = ("_names", "_rows", "is_plain")

    def __init__(self, names: tuple[str, ...] | None, rows: Rows) -> None:
        self._names = names
        self._rows = rows
        self.is_plain = False

    @property
    def names(self) -> tuple[str, ...] | None:
        """Column names, or None if values are known only by position."""
        return self._names

    @property
    def rows(self) -> Rows:
        """A list of rows, each with one value per column; or an array of shape (rows, columns)."""
        return self._rows

    def row(self, pick: Callable[[Any], Any], width: int) -> Any:
        """Return the only row, one value for each variable; None if there are more rows, or names to match.

        Args:
            pick: Returns the variables' values of an object, in their order.
            width: Number of the variables.
        """
        rows = self._rows
        is_row = self._names is None and type(rows) is list and len(rows) == 1 and len(rows[0]) == width
        return rows[0] if is_row else None

    def replace(self, names: tuple[str, ...], rows: list[Any]) -> None:
        """Hold other columns, of as many rows."""
        self._names, self._rows = names, rows

    def __len__(self) -> int:
        return len(self._rows)

    def kept(self) -> Table:
        """Return a table that other code cannot change, not even through nested containers.

        Raises:
            RecursionError: It is nested too deeply to be copied.
        """
        if self.is_plain:
            return self
        rows = self.rows
        if isinstance(rows, np.ndarray) or all(_CONTAINERS.isdisjoint(map(type, row)) for row in rows):
            return self
        return Table(self.names, copy.deepcopy(rows))

    def content(self) -> Any:
        """Return the rows as a record stores them: lists, or objects by name; a single row without a list around it."""
        names = self._names
        rows: Any = plain(self._rows) if isinstance(self._rows, np.ndarray) else self._rows
        if names:
            rows = [dict(zip(names, row, strict=False)) for row in rows]
        return rows[0] if len(rows) == 1 else rows


class ObjectRow(Table):
    """One row by name, stored as the object that arrived: names and values are listed only when needed.

    Attributes:
        object: A copy of the object.
    """

    __slots__ = ("object",)

    def __init__(self, value: dict[str, Any]) -> None:
        self.object = value.copy()
        self.is_plain = False

    @property
    def names(self) -> tuple[str, ...]:
        """The keys."""
        return tuple(self.object)

    @property
    def rows(self) -> list[Any]:
        """The values."""
        return [list(self.object.values())]

    def row(self, pick: Callable[[Any], Any], width: int) -> Any:
        """Return the values of the variables, if the object has these fields and no others."""
        if len(self.object) != width:
            return None
        try:
            return pick(self.object)
        except KeyError:
            return None

    def replace(self, names: tuple[str, ...], rows: list[Any]) -> None:
        """Hold other fields."""
        self.object = dict(zip(names, rows[0], strict=True))

    def __len__(self) -> int:
        return 1

    def content(self) -> Any:
        """Return the object."""
        return self.object


def as_table(value: Any, names: Collection[str] = ()) -> Table | None:
    """Read a value that has the shape of rows; None for any other value.

    An object is one row by name, a list of plain values one row by position, a list of lists or objects several rows.
    An object of columns has as many rows as each column has values; an empty list is an empty batch. Arrays, data
    frames and objects of other libraries follow the same rules.

    Args:
        value: The value.
        names: Known names: a field of an object that has one of them as its alias is read under it.
    """
    kind = type(value)
    if kind is dict:
        for first in value.values():
            is_row = type(first) is float or type(first) in SCALARS
            return ObjectRow(value) if is_row else _from_object(value)
        return None
    if kind is list or kind is tuple:
        return _from_list(value, names)
    if isinstance(value, np.ndarray):
        return _from_array(value)
    if hasattr(kind, "columns") and not isinstance(value, Mapping):
        return _from_frame(value, names)
    if hasattr(kind, "to_native"):  # a data frame of narwhals
        return as_table(value.to_native())
    if (table := _from_series(value)) is not None:
        return table

    if (holds := values_of(value)) is None:
        if (columns := columns_of(value)) is not None:
            return from_columns(columns)
        holds = opened(value, names)
    return None if holds is None else as_table(holds, names)


def _from_object(value: dict[Any, Any]) -> Table:
    """Read columns by name where all values are columns, else one row by name."""
    for read in (from_columns, _from_indexed):
        if (table := read(value)) is not None:
            return table
    return ObjectRow(value)


def _from_list(values: Sequence[Any], names: Collection[str] = ()) -> Table | None:
    if not values:
        return Table(None, [])
    first = values[0]
    kind = type(first)
    if kind in SCALARS:  # the common case, without the cost of an abstract class
        return Table(None, [list(values)])
    if kind is dict:
        return from_records(values)

    items = known_items(values, names)
    if items is None:
        return None
    if isinstance(items[0], Mapping):
        return from_records(items)
    if isinstance(items[0], (list, tuple, np.ndarray)):
        return from_rows(items)
    return Table(None, [list(items)])


def known_items(values: Sequence[Any], names: Collection[str] = ()) -> Sequence[Any] | None:
    """Return items as NumPy arrays, dicts and lists, also where they are objects of other libraries.

    Args:
        values: The items.
        names: Known names, as in `as_table`.

    Returns:
        None if an item has an unknown type.
    """
    first = scalar_value(values[0])
    if first is not values[0]:
        values = list(map(scalar_value, values))
    kind = type(first)
    if kind in _LISTS or kind is dict or is_value(first):
        return values

    if isinstance(first, (Mapping, list, tuple)):
        items = [opened(item, names) for item in values]
    else:
        items = [array_of(item) for item in values]
        if any(item is None for item in items):
            items = [opened(item, names) for item in values]
    if any(item is None for item in items):
        return None
    # An array without dimensions is a single value.
    return [item[()] if isinstance(item, np.ndarray) and item.ndim == 0 else item for item in items]


def from_rows(rows: Sequence[Any]) -> Table | None:
    """Read lists of values, one list per row, each value maybe in a list of its own.

    Rows of different lengths cannot be matched by position.
    """
    if not len(rows):
        return Table(None, [])
    if not _LISTS.issuperset(map(type, rows)) and not all(map(_is_row, rows)):
        return None
    if len(set(map(len, rows))) != 1 or len(rows[0]) == 0:
        return None
    if _LISTS.issuperset(map(type, rows[0])):  # as in tensors; a list beside plain values is no value
        return Table(None, [list(map(flat, row)) for row in rows])
    return Table(None, list(map(list, rows)))


def _is_row(row: Any) -> bool:
    return isinstance(row, (list, tuple)) or (isinstance(row, np.ndarray) and row.ndim == 1)


def from_records(records: Sequence[Any]) -> Table | None:
    """Read objects, one per row; names that a row lacks are None. Rows that lack nearly all names are not a table."""
    if not records:
        return Table(None, [])
    if (table := _from_like_records(records)) is not None:
        return table
    if not all(isinstance(record, Mapping) for record in records):
        return None
    names = tuple(dict.fromkeys(name for record in records for name in record))
    if not names:
        return None
    if len(names) * len(records) > MOST_SPARSE and len(names) * len(records) > _SPARSEST * sum(map(len, records)):
        return None  # if every row has other names, 100 KB of them would take half a gigabyte as a table
    return Table(tuple(map(str, names)), [[record.get(name) for name in names] for record in records])


def _from_like_records(records: Sequence[Any]) -> Table | None:
    """Read objects that all have the same names, two or more, without a look at each name of each row."""
    if not _DICTS.issuperset(map(type, records)) or len(names := tuple(records[0])) < 2:
        return None
    if set(map(len, records)) != {len(names)}:
        return None
    try:
        rows = list(map(list, map(itemgetter(*names), records)))
    except KeyError:
        return None
    return Table(tuple(map(str, names)), rows)


def from_columns(columns: Mapping[str, Any]) -> Table | None:
    """Read lists, arrays or Series by name, one per column, all of the same length."""
    values = []
    for column in columns.values():
        if (read := _column(column)) is None:
            return None
        values.append(read)
    if len(set(map(len, values))) != 1:
        return None
    return Table(tuple(map(str, columns)), list(map(list, zip(*values, strict=True))))


def beside_columns(
    columns: Mapping[str, Sequence[Any]], others: Mapping[str, Sequence[Any]], names: Collection[str] | None
) -> dict[str, list[Any]]:
    """Return the other columns that fit beside these: of as many values, or of one value that all rows share.

    Args:
        columns: Columns of the rows.
        others: All columns that came, by name.
        names: Names of the others to return; None for all.
    """
    rows = max(map(len, columns.values()), default=0)
    return {
        name: [*values] if len(values) == rows else [*values] * rows
        for name, values in others.items()
        if (names is None or name in names) and name not in columns and len(values) in (1, rows)
    }


def _column(column: Any) -> Sequence[Any] | None:
    """Return the values of a column, each without a list of its own; None if this is not a column."""
    if isinstance(column, (list, tuple)):
        return column if SCALARS.issuperset(map(type, column)) else [flat(item) for item in column]
    if is_value(column) or isinstance(column, Mapping):
        return None
    if (values := values_of(column)) is not None:
        return values

    array = array_of(column)
    if array is None:
        return None
    if array.ndim > 1 and array.size == len(array):
        array = array.reshape(-1)
    return _array_values(array) if array.ndim == 1 else None


def _array_values(array: NDArray[Any]) -> list[Any]:
    """Return the values of an array: numbers of Python where these are exact, else NumPy scalars."""
    if isinstance(array, np.ma.MaskedArray):
        array = _without_mask(array)
    is_exact = array.dtype.kind in "biuOSU" or array.dtype == np.float64
    return array.tolist() if is_exact else list(array)


def flat(item: Any) -> Any:
    """Return the value in lists of one, as tensors of shape (n, 1, 1) have them; other items as they are."""
    for _ in range(_DEEPEST):
        if not isinstance(item, (list, tuple)) or len(item) != 1:
            break
        item = item[0]
    return item


def _from_indexed(columns: Mapping[str, Any]) -> Table | None:
    """Read columns whose values have the names of their rows: pandas' ``to_json`` and ``to_dict`` write these."""
    if not all(type(column) is dict for column in columns.values()) or any(map(is_base64, columns.values())):
        return None
    index = list(next(iter(columns.values())))
    if any(list(column) != index for column in columns.values()):
        return None
    return from_columns({name: list(column.values()) for name, column in columns.items()})


def _from_array(array: NDArray[Any]) -> Table | None:
    if isinstance(array, np.ma.MaskedArray):
        array = _without_mask(array)
    array = standard(array)
    if array.dtype.names:
        return from_columns({name: array[name] for name in array.dtype.names})
    if array.ndim in (1, 2) and not len(array):
        return Table(None, [])
    if array.ndim == 1:
        return Table(None, array[np.newaxis, :].copy())
    if array.ndim == 2 and array.size:
        return Table(None, array.copy())

    return None


def _without_mask(array: Any) -> NDArray[Any]:
    is_masked = np.ma.getmaskarray(array)
    values = np.array(array, dtype=object)
    values[is_masked] = None
    return values


def _from_frame(value: Any, names: Collection[str]) -> Table | None:
    """Read a data frame. Any other object with a field ``columns``, such as a dataclass, is read by its fields."""
    if hasattr(type(value), "iloc"):
        return _from_pandas(value)
    if (columns := columns_of(value)) is not None:
        return from_columns(columns)
    fields = opened(value, names)
    return None if fields is None else as_table(fields, names)


def _from_series(value: Any) -> Table | None:
    """Read a Series as one row: by name if its index has names, as the row of a pandas frame has."""
    index = getattr(value, "index", None)
    if index is None or callable(index) or (values := values_of(value)) is None:
        return None
    if not values or not all(isinstance(name, str) for name in index):
        return _from_list(values)
    return Table(tuple(index), [values])


def _from_pandas(frame: Any) -> Table | None:
    names = tuple(map(str, frame.columns))
    if not len(frame):
        return Table(names, [])
    kinds = set(frame.dtypes)
    if len(kinds) == 1 and (array := frame.to_numpy()).dtype.kind in "iufb":
        return Table(names, array.copy())
    # One array for all columns would widen float32 values, which then lose their shortest decimals.
    columns = [_pandas_column(frame.iloc[:, index]) for index in range(len(names))]
    return Table(names, list(map(list, zip(*columns, strict=True))))


def _pandas_column(column: Any) -> list[Any]:
    values = column.to_numpy()
    if values.dtype.kind != "O" or (items := values_of(column)) is None:
        return list(values)
    return items
