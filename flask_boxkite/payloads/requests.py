"""Readers of request bodies: one small function per convention, which returns a table, or None for "not mine".

A body that follows no convention is not guessed. A key that is a feature of the model never marks a convention.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from flask_boxkite.payloads.table import (
    SCALARS,
    ObjectRow,
    Table,
    as_table,
    beside_columns,
    flat,
    from_columns,
    from_records,
    from_rows,
)
from flask_boxkite.payloads.tensors import is_tensor_list, reshaped, tensor_tables
from flask_boxkite.values.conversion import is_base64
from flask_boxkite.values.paths import value_at

__all__ = ["csv_table", "form_table", "json_lines_table", "json_table", "other_delimiter"]

_OTHER_DELIMITERS = ";\t|"


def json_table(document: Any, names: frozenset[str], beside: Collection[str] | None = ()) -> Table | None:
    """Find the rows of features in a JSON request.

    Args:
        document: The parsed JSON.
        names: Names of the model's features; empty if it has no baseline.
        beside: Names of other columns to read beside them; None for all.
    """
    if type(document) is not dict:
        return as_table(document)
    if not document.keys().isdisjoint(_MARKS):
        if (table := _by_mark(document, names, beside)) is not None:
            return table
        if not names and any(isinstance(document.get(key), (list, dict)) for key in _BY_KEY):
            return None
    if names and names.isdisjoint(document):
        return _nested(document, names)

    for first in document.values():
        if type(first) in SCALARS or not names:  # without known names, lists have no certain meaning
            return ObjectRow(document)
        break
    return as_table(document)


def _nested(document: dict[str, Any], names: frozenset[str]) -> Table | None:
    """Read an object that has features only below its own fields, as `value_at` finds them; None if it has none."""
    if not names.isdisjoint(document):
        return None
    paths = [name for name in names if "." in name and name.partition(".")[0] in document]
    if not paths or _reaches(document, paths):
        return ObjectRow(document) if paths else None
    table = from_columns(document)
    if table is None or table.names is None or not len(table):
        return None
    return table if _reaches(dict(zip(table.names, table.rows[0], strict=True)), paths) else None


def _reaches(row: dict[str, Any], paths: Sequence[str]) -> bool:
    """Return whether a single value stands at any of these paths."""
    for path in paths:
        with suppress(LookupError):
            if not isinstance(value_at(row, path), (dict, list)):
                return True
    return False


def _by_mark(document: dict[str, Any], names: frozenset[str], beside: Collection[str] | None) -> Table | None:
    """Read the value under the key that marks a convention; None if several conventions fit equally."""
    marks = [key for key in document if key in _MARKS and key not in names]
    if len(marks) == 1 and marks[0] != "data":
        value = document[marks[0]]
        # An empty list is an empty batch, unless features stand beside it.
        return _by_key(marks[0], value, names, beside) if value or names.isdisjoint(document) else None
    if "data" in marks and "columns" in document and "columns" not in names:
        # MLflow 1 and pandas' orient="split": the same as `dataframe_split` without a key around it.
        return _split(document, names)

    tables = [table for key in marks if (table := _by_key(key, document[key], names, beside)) is not None]
    if len(tables) > 1:
        tables = [table for table in tables if _fits(table, names)]
    if len(tables) != 1 or not (len(tables[0]) or names.isdisjoint(document)):
        return None
    return tables[0]


def _by_key(key: str, value: Any, names: frozenset[str], beside: Collection[str] | None) -> Table | None:
    if key == "inputs" and is_tensor_list(value, names):
        return tensor_tables(value, names, beside)
    return _BY_KEY[key](value, names)


def _fits(table: Table, names: frozenset[str]) -> bool:
    """Return whether the rows can hold the features: by name, or by the number of values."""
    if not names:
        return True
    if not len(table):
        return True
    return len(table.rows[0]) == len(names) if table.names is None else not names.isdisjoint(table.names)


def _features(value: Any, names: frozenset[str]) -> Table | None:
    nested = _nested(value, names) if isinstance(value, dict) else None
    return as_table(value) if nested is None else nested


def _rows(value: Any, names: frozenset[str]) -> Table | None:
    """Read rows under ``data``, ``rows``, ``records`` or ``input`` as if they stood alone."""
    if isinstance(value, dict) and names and names.isdisjoint(value):
        return _nested(value, names)
    return as_table(value) if isinstance(value, (list, dict)) else None


def _data(value: Any, names: frozenset[str]) -> Table | None:
    """Read the ``data`` of Seldon or SageMaker, or plain rows."""
    if isinstance(value, dict) and not _INSIDE_DATA.difference(names).isdisjoint(value):
        return _sagemaker(value) if (table := _seldon(value)) is None else table
    return _rows(value, names)


def _instances(value: Any, names: Collection[str]) -> Table | None:
    """Read one row per item: TensorFlow Serving, KServe v1, Vertex; SageMaker has each row under ``features``."""
    if not isinstance(value, list):
        return None
    if not value:
        return Table(None, [])
    if all(isinstance(item, dict) for item in value):
        value = _unwrapped(value, names)
    if not isinstance(value[0], (dict, list)):
        return Table(None, [[item] for item in value])
    return as_table(value)


def _unwrapped(items: list[Any], names: Collection[str]) -> list[Any]:
    """Return rows without an outer object of a single key, and values without a list of their own."""
    keys = set(items[0])
    if len(keys) == 1 and all(item.keys() == keys for item in items):
        (key,) = keys
        values = [item[key] for item in items]
        if key not in names:
            if key == "features":
                return values
            if key == "data" and all(map(_is_sagemaker, values)):
                return [item["features"]["values"] for item in values]
            # The only input of a Keras model has no feature's name: its values form a row by position.
            if all(isinstance(row, list) and len(row) == (len(names) or len(values[0])) > 1 for row in values):
                return values
            if len(names) == 1 and all(isinstance(row, list) and len(row) == 1 for row in values):
                return values
            if len(names) == 1 and all(map(is_base64, items)):
                return [[item] for item in items]

    return [_flat_object(item) for item in items]


def _flat_object(item: dict[str, Any]) -> dict[str, Any]:
    if list not in set(map(type, item.values())):
        return item
    return {name: flat(value) for name, value in item.items()}


def _is_sagemaker(value: Any) -> bool:
    """Return whether this is a dense row of SageMaker: ``{"features": {"values": […]}}``."""
    features = value.get("features") if isinstance(value, dict) and len(value) == 1 else None
    return isinstance(features, dict) and isinstance(features.get("values"), list)


def _sagemaker(value: Any) -> Table | None:
    return as_table(value["features"]["values"]) if _is_sagemaker(value) else None


def _split(value: Any, names: Collection[str]) -> Table | None:
    """MLflow's ``dataframe_split``."""
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        return None
    table = from_rows(value["data"])
    columns = value.get("columns")
    return table if table is None or columns is None else _named(table, columns)


def _records(value: Any, names: Collection[str]) -> Table | None:
    """MLflow's ``dataframe_records``."""
    return from_records(value) if isinstance(value, list) else None


def _inputs(value: Any, names: frozenset[str]) -> Table | None:
    """Read MLflow's tensors and columns, or TensorFlow Serving's columns."""
    if not isinstance(value, dict):
        return as_table(value)
    if (table := _single_input(value, names)) is not None or (table := _nested(value, names)) is not None:
        return table
    if (table := from_columns(value)) is not None:
        return table
    # Columns of different lengths are not a row of lists either.
    return None if any(isinstance(item, list) for item in value.values()) else as_table(value)


def _single_input(value: dict[str, Any], names: Collection[str]) -> Table | None:
    """Read the only input of a Keras model by position: each row must have as many values as the model has features."""
    if len(value) != 1 or next(iter(value)) in names:
        return None
    (rows,) = value.values()
    table = from_rows(rows) if isinstance(rows, list) and rows and isinstance(rows[0], list) else None
    if table is None:
        return None
    width = len(table.rows[0])
    return table if width == (len(names) or width) and (width > 1 or len(names) == 1) else None


def _seldon(value: dict[str, Any]) -> Table | None:
    """Read Seldon's ``data`` with ``ndarray`` or ``tensor``, and its names if present."""
    rows = value.get("ndarray")
    if rows is None and isinstance(tensor := value.get("tensor"), dict):
        rows = reshaped(tensor.get("values"), tensor.get("shape"))
    table = as_table(rows) if isinstance(rows, list) else None
    columns = value.get("names")
    if table is None or table.names is not None or not columns:
        return table
    return _named(table, columns)


def _named(table: Table, names: Any) -> Table | None:
    """Name the columns if there are as many names as columns."""
    if not isinstance(names, list) or (len(table) and len(names) != len(table.rows[0])):
        return None
    return Table(tuple(map(str, names)), table.rows)


_BY_KEY: Mapping[str, Callable[[Any, frozenset[str]], Table | None]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
    "data": _data,
    "features": _features,
    "rows": _rows,
    "records": _rows,
    "input": _rows,
}
_MARKS = frozenset(_BY_KEY)
_INSIDE_DATA = frozenset({"ndarray", "tensor", "tftensor", "features"})


# --- texts -----------------------------------------------------------------------------------------------------------


def json_lines_table(text: str, names: frozenset[str], beside: Collection[str] | None = ()) -> Table | None:
    """Read JSON lines, one row per line, each in any convention for a single row; see `json_table`.

    Raises:
        ValueError: A line is not JSON.
    """
    lines = [line for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    tables = [json_table(json.loads(line), names, beside) for line in lines]
    rows = [table for table in tables if table is not None and len(table) == 1]
    if not rows or len(rows) < len(tables):
        return None
    if all(table.names is None for table in rows):
        return from_rows([list(table.rows[0]) for table in rows])
    if any(table.names is None for table in rows):
        return None
    return from_records([table.content() for table in rows])


def csv_table(text: str, names: Collection[str]) -> Table | None:
    """Read ``text/csv``. The first line is a header if it names a feature or, without a baseline, has no number.

    A text with another delimiter than a comma is no table.
    """
    try:
        file = io.StringIO(text.removeprefix("\ufeff"), newline="")
        # As in training: of `39, "Private"`, the quotes are not part of the value.
        lines = [line for line in csv.reader(file, skipinitialspace=True) if line]
    except csv.Error:
        return None
    if not lines:
        return None

    header = None
    first = [cell.strip() for cell in lines[0]]
    if not set(first).isdisjoint(names) or (not names and len(lines) > 1 and not any(map(_is_number, first))):
        header, lines = first, lines[1:]
    elif names and len(first) != len(names) and other_delimiter(text, names):
        return None
    # An empty cell stays an empty text, which may be a category. A header alone is an empty batch.
    table = from_rows([[cell.strip() for cell in line] for line in lines])
    return table if table is None or header is None else _named(table, header)


def other_delimiter(text: str, names: Collection[str]) -> str | None:
    """Return the delimiter in place of the comma, by which the first line fits the features; None if there is none."""
    line = text.removeprefix("\ufeff").lstrip("\r\n").partition("\n")[0]
    for delimiter in _OTHER_DELIMITERS:
        cells = [cell.strip(' "\r') for cell in line.split(delimiter)]
        if len(cells) > 1 and (len(cells) == len(names) or not set(cells).isdisjoint(names)):
            return delimiter
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def form_table(
    fields: Mapping[str, Sequence[str]], names: Collection[str], beside: Collection[str] | None = ()
) -> Table | None:
    """Read form fields by name; if every field appears n times, they form n rows.

    Args:
        fields: Values of each field.
        names: Names of the model's features, which alone are read; all fields are if this is empty.
        beside: Names of other fields to read beside them, as `beside_columns` reads them; None for all.
    """
    if not names:
        return from_columns(fields)
    known = {name: values for name, values in fields.items() if name in names}
    return from_columns(known | beside_columns(known, fields, beside)) if known else None
