"""Values of other libraries, read by the interfaces of their types: fields by name, arrays, columns, Arrow.

No library is imported for this, except pyarrow where an object offers nothing but Arrow's interfaces.
"""

from __future__ import annotations

from array import array as plain_array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, time, timedelta
from enum import Enum
from numbers import Number
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.values.durations import is_interval

__all__ = [
    "array_of",
    "arrow_column",
    "columns_of",
    "fields_of",
    "has_values",
    "is_value",
    "opened",
    "scalar_value",
    "values_of",
]

_VALUES = (str, bytes, bytearray, Number, np.generic, date, time, timedelta, UUID, Enum)
_NULLS = frozenset({"NoneType", "NAType", "NaTType"})
_ARRAY_MARKS = (
    "__array__",
    "__dlpack__",
    "__arrow_c_stream__",
    "__arrow_c_array__",
    "columns",
    "to_list",
    "to_pylist",
    "to_native",  # narwhals
    "as_py",  # a single value of Arrow
)
_BYTES = frozenset({"B", "c"})
"""Formats of a view of bytes, which are one value, as in a field of a database."""
_NARROW = {
    "float32": np.float32,  # NumPy, pandas and Polars
    "float": np.float32,  # Arrow
    "float[pyarrow]": np.float32,
    "float16": np.float16,
    "halffloat": np.float16,
    "halffloat[pyarrow]": np.float16,
}


def is_value(value: Any) -> bool:
    """Say whether this is a single value, such as a number, a text, a date or a missing value."""
    return isinstance(value, _VALUES) or type(value).__name__ in _NULLS or is_interval(value)


def has_values(value: Any) -> bool:
    """Say whether this is an array, a column, a frame or a value of Arrow, by its type; nothing is read."""
    return _is_buffer(value) or any(hasattr(type(value), mark) for mark in _ARRAY_MARKS)


def _is_buffer(value: Any) -> bool:
    """Say whether this is one of Python's own arrays of numbers, or a view of one."""
    return isinstance(value, plain_array) or (isinstance(value, memoryview) and value.format not in _BYTES)


def scalar_value(value: Any) -> Any:
    """Return the content of a scalar of Arrow; other objects, also a struct, which has fields, as they are."""
    kind = type(value)
    if not hasattr(kind, "as_py") or hasattr(kind, "keys"):
        return value
    try:
        if hasattr(kind, "__len__"):  # a list
            return None if value.values is None else values_of(value.values)
        return _narrowed([value.as_py()], value.type)[0]
    except Exception:  # moments in nanoseconds need pandas
        return value


def opened(value: Any, names: Collection[str] = ()) -> Any:
    """Return the content of an object of another library: a dict of its fields, a list of its values, or an array.

    Args:
        value: The object.
        names: Known names of variables, as in `fields_of`.

    Returns:
        None if the object is of another kind, or cannot be read.
    """
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (list, tuple)):
        fields = fields_of(value, names)
        return list(value) if fields is None else fields
    if is_value(value) or isinstance(value, type):
        return None
    if (content := scalar_value(value)) is not value:
        return content
    for read in (values_of, array_of, arrow_column):
        content = read(value)
        if content is not None:
            return content

    return fields_of(value, names)


# --- fields ----------------------------------------------------------------------------------------------------------


def fields_of(value: Any, names: Collection[str] = ()) -> Any:
    """Return the fields of an object that knows their names, as a dict; a pydantic root model returns its root.

    Args:
        value: The object.
        names: Known names of variables: a field with an unknown name is returned under its alias, if that is known.

    Returns:
        None if the object is of another kind, or its fields cannot be read.
    """
    kind = type(value)
    for mark, read in _FIELDS.items():
        if hasattr(kind, mark):
            try:
                fields = read(value)
            except Exception:  # the user's properties, serializers and loaders may raise anything
                return None
            if fields is not None:
                return _by_known_names(fields, kind, names) if names else fields
    return None


def _by_known_names(fields: Any, kind: Any, names: Collection[str]) -> Any:
    """Return the fields; one with an unknown name comes under its alias, where that is known."""
    if not isinstance(fields, dict) or all(name in names for name in fields):
        return fields
    aliases = {}
    for mark, read in _ALIASES.items():
        if hasattr(kind, mark):
            aliases = {name: alias for name, alias in read(kind) if name not in names and alias in names}
            break
    return {aliases.get(name, name): value for name, value in fields.items()}


def _pydantic_aliases(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names that fields have in JSON, in all versions of pydantic."""
    for name, field in fields.items():
        for mark in ("validation_alias", "serialization_alias", "alias"):
            alias = getattr(field, mark, None)
            yield from ((name, text) for text in getattr(alias, "choices", [alias]) if isinstance(text, str))


def _sqlalchemy_aliases(mapper: Any) -> Iterator[tuple[str, str]]:
    for attribute in mapper.column_attrs:
        yield attribute.key, attribute.columns[0].name


def _django_aliases(options: Any) -> Iterator[tuple[str, str]]:
    for field in getattr(options, "concrete_fields", ()):
        yield field.attname, getattr(field, "column", field.attname)


_ALIASES: Mapping[str, Callable[[Any], Iterable[tuple[str, str]]]] = {
    "__mapper__": lambda kind: _sqlalchemy_aliases(kind.__mapper__),
    "_meta": lambda kind: _django_aliases(kind._meta),
    "__pydantic_fields__": lambda kind: _pydantic_aliases(kind.__pydantic_fields__),
    "model_fields": lambda kind: _pydantic_aliases(kind.model_fields),
    "__fields__": lambda kind: _pydantic_aliases(kind.__fields__),
    "__struct_encode_fields__": lambda kind: zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True),
}
"""Attribute of the type that marks each kind of object, and the reader of its fields' other names.

These are the names in JSON or in the database, where training data come from.
"""


def _pydantic(value: Any) -> Any:
    """Read an object of Pydantic 2, also a root model, without fields that the model leaves out of its dump."""
    return value.model_dump()


def _pydantic_1(value: Any) -> Any:
    if not callable(getattr(value, "dict", None)):
        return None
    fields = value.dict()
    return fields["__root__"] if set(fields) == {"__root__"} else fields


def _sqlalchemy_entity(value: Any) -> Any:
    """Read the loaded columns only: access to another one would send a query."""
    loaded = value.__dict__
    names = [attribute.key for attribute in value.__mapper__.column_attrs]
    return {name: loaded[name] for name in names if name in loaded} or None


def _sqlalchemy_row(value: Any) -> Any:
    fields = dict(value._mapping)
    # A query for one class of entities gives rows of one entity each.
    inner = fields_of(next(iter(fields.values()))) if len(fields) == 1 else None
    return fields if inner is None else inner


def _django_model(value: Any) -> Any:
    loaded = value.__dict__
    fields = getattr(value._meta, "concrete_fields", ())
    return {field.attname: loaded[field.attname] for field in fields if field.attname in loaded} or None


def _spark_row(value: Any) -> Any:
    """Read a Row of PySpark; one that was made without names raises."""
    return value.asDict()


def _named_tuple(value: Any) -> Any:
    names = value._fields
    if not isinstance(value, tuple) or not isinstance(names, tuple):
        return None
    # `itertuples` calls a column `_3` where its name is not an identifier: then only positions are known.
    is_nameless = any(name == f"_{index}" for index, name in enumerate(names))
    return None if is_nameless else dict(zip(names, value, strict=True))


def _attrs(value: Any) -> Any:
    return {field.name: getattr(value, field.name) for field in value.__attrs_attrs__}


def _msgspec(value: Any) -> Any:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def _dataclass(value: Any) -> Any:
    return {name: getattr(value, name) for name in value.__dataclass_fields__ if hasattr(value, name)}


def _mapping_like(value: Any) -> Any:
    """Read a row of sqlite3, asyncpg and others: an object with ``keys()`` and a value for each key."""
    kind = type(value)
    if not hasattr(kind, "__getitem__") or hasattr(kind, "__array__"):
        return None
    names = list(value.keys())
    return {name: value[name] for name in names} if names and all(isinstance(name, str) for name in names) else None


_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "__mapper__": _sqlalchemy_entity,
    "_mapping": _sqlalchemy_row,
    "_meta": _django_model,
    "model_dump": _pydantic,
    "__fields__": _pydantic_1,
    "asDict": _spark_row,
    "_fields": _named_tuple,
    "__attrs_attrs__": _attrs,
    "__struct_fields__": _msgspec,
    "__dataclass_fields__": _dataclass,
    "keys": _mapping_like,
}
"""Attribute of the type that marks each kind of object, and the reader of its fields."""


# --- arrays ----------------------------------------------------------------------------------------------------------


def array_of(value: Any) -> NDArray[Any] | None:
    """Return an array of another library as a NumPy array; None if it is not an array, or cannot be read."""
    kind = type(value)
    if isinstance(value, np.ma.MaskedArray):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return standard(np.asarray(value))
    if not _is_buffer(value) and not hasattr(kind, "__array__") and not hasattr(kind, "__dlpack__"):
        return None
    for read in (_torch, np.asarray, _from_dlpack):
        try:
            array = read(value)
        except Exception:  # on a device, of a type that NumPy lacks, or the user's own
            continue
        if isinstance(array, np.ndarray) and (array.dtype.kind != "O" or hasattr(kind, "__array__")):
            return standard(array)

    return None


def _torch(value: Any) -> Any:
    """Read a tensor of PyTorch; NumPy cannot where it is on a device, has a gradient, or is a bfloat16.

    A bfloat16 becomes a float64, which holds it exactly, as in `standard`.
    """
    if not hasattr(value, "detach"):
        return None
    tensor = value.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:
        return tensor.double().numpy()


def _from_dlpack(value: Any) -> Any:
    try:
        return np.from_dlpack(value, device="cpu")
    except TypeError:  # NumPy before 2.1
        return np.from_dlpack(value)


def standard(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of a type that NumPy lacks, such as bfloat16, as the same numbers in float64.

    Narrow floats of NumPy are read by their shortest decimals; these are not. ``float()`` and ``tolist()`` give the
    same numbers, and no baseline says that its values were bfloat16.
    """
    is_known = array.dtype.kind != "V" or array.dtype.names is not None
    return array if is_known else array.astype(np.float64)


# --- columns ---------------------------------------------------------------------------------------------------------


def values_of(column: Any) -> list[Any] | None:
    """Return the values of a Series or an Arrow array; None if it is none.

    Narrow floats stay scalars of NumPy, which are read by their decimals: in Python's floats 0.1 would become
    0.10000000149011612.
    """
    dtype = getattr(column, "dtype", getattr(column, "type", None))
    if hasattr(type(column), "columns") or str(dtype).startswith("struct<"):
        return None
    if dtype is None and hasattr(type(column), "__arrow_c_stream__"):  # of an unknown type, which Arrow can tell
        return None
    return _listed(column, dtype)


def _listed(column: Any, dtype: Any) -> list[Any] | None:
    for method in ("to_list", "to_pylist"):
        if callable(convert := getattr(type(column), method, None)):
            return _narrowed(convert(column), dtype)
    return None


def _narrowed(values: list[Any], dtype: Any) -> list[Any]:
    narrow = _NARROW.get(str(dtype).lower())
    return values if narrow is None else [narrow(value) if type(value) is float else value for value in values]


def columns_of(frame: Any) -> dict[str, list[Any]] | None:
    """Return the columns of a data frame of pandas, Polars, Arrow, or a library with Arrow's interfaces.

    Returns:
        None if the object is not a data frame.
    """
    kind = type(frame)
    pairs: Iterable[tuple[Any, Any]]
    if hasattr(kind, "iloc"):  # pandas
        pairs = ((name, frame.iloc[:, index]) for index, name in enumerate(frame.columns))
    elif callable(getattr(kind, "get_columns", None)):  # Polars
        pairs = ((column.name, column) for column in frame.get_columns())
    elif hasattr(kind, "column_names") and hasattr(kind, "columns"):  # Arrow
        pairs = zip(frame.column_names, frame.columns, strict=True)
    else:
        columns = arrow_column(frame)
        return columns if isinstance(columns, dict) else None

    return {str(name): _objects_of(column) for name, column in pairs}


def _objects_of(column: Any) -> list[Any]:
    """Return the values of a frame's column; structs become dicts, which no variable can hold."""
    return _listed(column, getattr(column, "dtype", getattr(column, "type", None))) or []


def arrow_column(value: Any) -> dict[str, list[Any]] | list[Any] | None:
    """Read an object by Arrow's interfaces: a list of its values, or a dict of its columns.

    Returns:
        None if the object has no such interface, pyarrow is not installed, or the object cannot be read: its library
        fails, its type has no Arrow column, or two of its columns share a name.
    """
    kind = type(value)
    if not hasattr(kind, "__arrow_c_stream__") and not hasattr(kind, "__arrow_c_array__"):
        return None
    try:
        column = _arrow(value)
    except Exception:  # the object's library may raise anything; a value that is not read counts as not found
        return None
    if column is None:
        return None
    if hasattr(column.type, "num_fields") and str(column.type).startswith("struct<"):
        names = [column.type.field(index).name for index in range(column.type.num_fields)]
        if len(set(names)) < len(names):
            return None
        return {name: _objects_of(part) for name, part in zip(names, column.flatten(), strict=True)}

    return values_of(column)


def _arrow(value: Any) -> Any:
    """Return the object as an array of pyarrow."""
    try:
        import pyarrow as pa
    except ImportError:
        return None
    if hasattr(type(value), "__arrow_c_stream__"):
        return pa.chunked_array(value)
    return pa.array(value)
