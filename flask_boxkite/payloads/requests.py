"""What clients send: one small function per convention, which returns a table, or None for "not mine".

What fits none is not guessed. A key that the model itself has as a feature is never read as the mark of a convention.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from flask_boxkite.payloads.table import Table, as_table, from_columns, from_records, from_rows

__all__ = ["csv_table", "form_table", "is_tensor_list", "json_table", "tensor_tables"]


def json_table(document: Any, names: frozenset[str]) -> Table | None:
    """Find the rows of features in a JSON request.

    Args:
        document: The parsed JSON.
        names: The features that the model knows; empty if it has no baseline.
    """
    if type(document) is not dict:
        return as_table(document)
    if not document.keys().isdisjoint(_MARKS):
        for key, read in _BY_KEY.items():
            if key in document and key not in names:
                found = read(document[key], names)
                if found is not None:
                    return found
        if not names and any(isinstance(document.get(key), (list, dict)) for key in _BY_KEY):
            return None
    if names and names.isdisjoint(document):
        return None
    return as_table(document)


def _features(value: Any, names: Collection[str]) -> Table | None:
    return as_table(value)


def _instances(value: Any, names: Collection[str]) -> Table | None:
    """TensorFlow Serving, KServe v1, Vertex; SageMaker has each row under ``features``. Each item is a row."""
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(item, dict) and set(item) == {"features"} for item in value) and "features" not in names:
        value = [item["features"] for item in value]
    if not isinstance(value[0], (dict, list)):
        return Table(None, [[item] for item in value])
    return as_table(value)


def _split(value: Any, names: Collection[str]) -> Table | None:
    """MLflow's ``dataframe_split``."""
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        return None
    found = from_rows(value["data"])
    columns = value.get("columns")
    return found if found is None or columns is None else _named(found, columns)


def _records(value: Any, names: Collection[str]) -> Table | None:
    """MLflow's ``dataframe_records``."""
    return from_records(value) if isinstance(value, list) else None


def _inputs(value: Any, names: Collection[str]) -> Table | None:
    """MLflow's tensors and columns, or Open Inference v2."""
    if isinstance(value, dict):
        # Columns of several lengths are no row of lists either.
        return from_columns(value) or (
            None if any(isinstance(item, list) for item in value.values()) else as_table(value)
        )
    return tensor_tables(value, names) if is_tensor_list(value, names) else as_table(value)


def _seldon(value: Any, names: Collection[str]) -> Table | None:
    """Seldon's ``data`` with ``ndarray`` or ``tensor``, and perhaps names."""
    if not isinstance(value, dict):
        return None
    rows = value.get("ndarray")
    if rows is None and isinstance(tensor := value.get("tensor"), dict):
        rows = _reshaped(tensor.get("values"), tensor.get("shape"))
    found = as_table(rows) if isinstance(rows, list) else None
    columns = value.get("names")
    if found is None or found.names is not None or not columns:
        return found
    return _named(found, columns)


def _named(found: Table, names: Any) -> Table | None:
    """Give names to columns, if they are as many."""
    if not isinstance(names, list) or len(names) != len(found.rows[0]):
        return None
    return Table(tuple(map(str, names)), found.rows)


_BY_KEY: Mapping[str, Callable[[Any, Collection[str]], Table | None]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
    "data": _seldon,
    "features": _features,
}
_MARKS = frozenset(_BY_KEY)


def is_tensor_list(value: Any, names: Collection[str]) -> bool:
    """Say whether these are Open Inference v2 tensors, rather than rows by name."""
    if not isinstance(value, list) or not value or "data" in names:
        return False
    return all(isinstance(item, dict) and "data" in item for item in value)


def tensor_tables(tensors: Sequence[Mapping[str, Any]], names: Collection[str]) -> Table | None:
    """Read Open Inference v2 tensors: a single one of shape [N, F], or one per column of shape [N] or [N, 1]."""
    columns: dict[str, list[list[Any]]] = {}
    for tensor in tensors:
        rows = _reshaped(tensor.get("data"), tensor.get("shape"))
        if rows is None or (len(tensors) > 1 and len(rows[0]) > 1):
            return None
        columns[str(tensor.get("name"))] = rows
    if len(columns) < len(tensors):  # two of one name
        return None
    if len(tensors) == 1:
        ((name, rows),) = columns.items()
        # A single column is known by its position too, if its name says nothing.
        return Table((name,), rows) if len(rows[0]) == 1 and (not names or name in names) else Table(None, rows)
    return from_columns(columns)


def _reshaped(values: Any, shape: Any) -> list[list[Any]] | None:
    """Return tensor data, flat or nested, as rows: one value each if its shape has one dimension."""
    if not isinstance(values, list) or not isinstance(shape, list):
        return None
    if not all(type(size) is int and size > 0 for size in shape):
        return None
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (1, 2):
        return None
    while values and isinstance(values[0], list):
        values = [item for part in values for item in (part if isinstance(part, list) else [part])]
    if math.prod(shape) != len(values):
        return None
    width = shape[1] if len(shape) == 2 else 1
    return [values[start : start + width] for start in range(0, len(values), width)]


def csv_table(text: str, names: Collection[str]) -> Table | None:
    """Read ``text/csv``. Its first line is a header if it names a feature, or, without a baseline, holds no number."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")) if line]
    except csv.Error:
        return None
    if not lines:
        return None
    header = None
    first = [cell.strip() for cell in lines[0]]
    if not set(first).isdisjoint(names) or (not names and len(lines) > 1 and not any(map(_is_number, first))):
        header, lines = first, lines[1:]
    # An empty cell is a missing value.
    found = from_rows([[cell if cell.strip() else None for cell in line] for line in lines]) if lines else None
    return found if found is None or header is None else _named(found, header)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def form_table(fields: Mapping[str, Sequence[str]], names: Collection[str]) -> Table | None:
    """Read form fields by name; a field sent n times in every name is n rows. An empty field is a missing value."""
    if names and not set(fields) & set(names):
        return None
    columns = {
        name: [value if value.strip() else None for value in values]
        for name, values in fields.items()
        if not names or name in names
    }
    return from_columns(columns)
