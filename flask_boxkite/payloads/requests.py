"""What clients send: one small function per convention, which returns a table, or None for "not mine".

What fits none is not guessed. A key that the model itself has as a feature is never read as the mark of a convention.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from flask_boxkite.payloads.table import Table, as_table, from_columns, from_records, from_rows

__all__ = ["csv_table", "form_table", "json_table", "tensor_tables"]


def json_table(document: Any, names: Collection[str]) -> Table | None:
    """Find the rows of features in a JSON request.

    Args:
        document: The parsed JSON.
        names: The features that the model knows; empty if it has no baseline.
    """
    if type(document) is not dict:
        return as_table(document)
    for key, read in _BY_KEY.items():
        if key in document and key not in names:
            found = read(document[key], names)
            if found is not None:
                return found
    if names and not any(name in names for name in document):
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
    if found is None or columns is None:
        return found
    if not isinstance(columns, list) or len(columns) != len(found.rows[0]):
        return None
    return Table(tuple(map(str, columns)), found.rows)


def _records(value: Any, names: Collection[str]) -> Table | None:
    """MLflow's ``dataframe_records``."""
    return from_records(value) if isinstance(value, list) else None


def _inputs(value: Any, names: Collection[str]) -> Table | None:
    """MLflow's tensors and columns, or Open Inference v2."""
    if isinstance(value, dict):
        return from_columns(value) or as_table(value)
    if isinstance(value, list) and value and all(isinstance(item, dict) and "data" in item for item in value):
        return tensor_tables(value, names)
    return as_table(value)


def _seldon(value: Any, names: Collection[str]) -> Table | None:
    """Seldon's ``data`` with ``ndarray`` or ``tensor``, and perhaps names."""
    if not isinstance(value, dict):
        return None
    rows = value.get("ndarray")
    if rows is None and isinstance(tensor := value.get("tensor"), dict):
        rows = _reshaped(tensor.get("values"), tensor.get("shape"))
    found = as_table(rows) if isinstance(rows, list) and rows else None
    columns = value.get("names")
    if found is None or not columns:
        return found
    return Table(tuple(map(str, columns)), found.rows) if len(columns) == len(found.rows[0]) else None


_BY_KEY: Mapping[str, Callable[[Any, Collection[str]], Table | None]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
    "data": _seldon,
    "features": _features,
}


def tensor_tables(tensors: Sequence[Mapping[str, Any]], names: Collection[str]) -> Table | None:
    """Read Open Inference v2 tensors: a single one of shape [N, F], or one per column of shape [N] or [N, 1]."""
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        rows = _reshaped(tensor.get("data"), tensor.get("shape"))
        if rows is None:
            return None
        if len(tensors) == 1 and isinstance(rows[0], list) and len(rows[0]) > 1:
            return from_rows(rows)
        columns[str(tensor.get("name"))] = rows
    if len(columns) == 1 and names and not set(columns) & set(names):
        # A single unnamed column is known by its position.
        (values,) = columns.values()
        return from_rows([item if isinstance(item, list) else [item] for item in values])
    return from_columns(columns)


def _reshaped(values: Any, shape: Any) -> list[Any] | None:
    """Return tensor data, flat or nested, in its shape, of one or two dimensions."""
    if not isinstance(values, list) or not values:
        return None
    if not isinstance(shape, list) or not all(isinstance(size, int) and size >= 0 for size in shape):
        return None
    flat = values
    while flat and isinstance(flat[0], list):
        flat = [item for part in flat for item in (part if isinstance(part, list) else [part])]
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (1, 2) or int(np.prod(shape)) != len(flat):
        return None
    if len(shape) == 1:
        return flat
    width = shape[1]
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def csv_table(text: str, names: Collection[str]) -> Table | None:
    """Read ``text/csv``. Its first line is a header if it names a feature, or, without a baseline, holds no number."""
    lines = [line for line in csv.reader(io.StringIO(text)) if line]
    if not lines:
        return None
    header = None
    if set(lines[0]) & set(names) or (not names and len(lines) > 1 and not any(map(_is_number, lines[0]))):
        header, lines = tuple(cell.strip() for cell in lines[0]), lines[1:]
    # An empty cell is a missing value.
    found = from_rows([[cell if cell.strip() else None for cell in line] for line in lines]) if lines else None
    if found is None or header is None:
        return found
    return Table(header, found.rows) if len(header) == len(found.rows[0]) else None


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
