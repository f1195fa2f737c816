"""What models answer: the mirror image of the request conventions.

An answer becomes a table with one row per row of the request. Which of its numbers are rows and which are several
outputs of one row is decided by what the baseline knows: the number of rows, and the names of the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flask_boxkite.payloads.requests import csv_table, is_tensor_list, tensor_tables
from flask_boxkite.payloads.table import Table, as_table, from_columns, from_records, from_rows

__all__ = ["csv_output", "found_output", "output_table"]

_SEVERAL_ROWS = ("predictions", "outputs", "instances")
_ONE_VALUE = ("prediction", "output", "score", "result", "label")
_MARKS = (*_SEVERAL_ROWS, *_ONE_VALUE)


def found_output(document: Any, names: Sequence[str]) -> Any:
    """Find the output in a JSON answer; raise LookupError where no convention fits."""
    if type(document) is not dict and not isinstance(document, Mapping):
        return document
    if names and names != ("output",) and document.keys() >= set(names):
        return {name: document[name] for name in names}
    for key in _MARKS:
        if key in document:
            return document[key]
    data = document.get("data")
    if isinstance(data, Mapping) and "ndarray" in data:
        return data["ndarray"]
    if len(document) == 1:
        return next(iter(document.values()))
    raise LookupError


def csv_output(text: str) -> Any:
    """Read a ``text/csv`` answer."""
    found = csv_table(text, ())
    if found is None:
        raise LookupError
    return found.rows


def output_table(value: Any, names: Sequence[str], rows: int | None) -> Table | None:
    """Lay out an output in rows; None if it does not fit.

    Args:
        value: A scalar, a list, an object by name, an array, a Series or a frame.
        names: The outputs that the baseline knows; a single one takes any scalar.
        rows: Rows of the request, or None if they are not known.
    """
    table = _laid_out(value, names or ("output",), rows)
    if table is None or (rows is not None and len(table) != rows):
        return None
    return table


def _laid_out(value: Any, names: Sequence[str], rows: int | None) -> Table | None:
    width = len(names)
    if is_tensor_list(value, names):
        value = tensor_tables(value, names)
        return value if value is None or value.names is not None else _positional(value.rows, width)
    if isinstance(value, Mapping):
        return None if set(names).isdisjoint(value) else from_columns(value) or as_table(value)
    if not isinstance(value, (list, tuple, np.ndarray)):
        table = as_table(value)
        if table is None and callable(convert := getattr(value, "to_pylist", None)):  # an Arrow array
            return _from_list(convert(), width)
        if table is None:
            is_single = isinstance(value, (str, bytes)) or not hasattr(value, "__len__")
            return Table(None, [[value]]) if width == 1 and is_single else None
        if hasattr(value, "columns"):
            return table if width > 1 or table.names is None else Table(None, table.rows)
        value = table.rows[0] if len(table) == 1 else table.rows  # a Series: one value a row
    return _from_list(value, width)


def _from_list(value: Any, width: int) -> Table | None:
    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            return Table(None, [[value[()]]]) if width == 1 else None
        if value.ndim == 2:
            return _positional(value.copy(), width)
        if value.ndim > 2:
            return None
        if width == 1 and value.size:
            return Table(None, value[:, np.newaxis].copy())
    if len(value) == 0:
        return None
    if isinstance(value[0], Mapping):
        return from_records(value)
    if isinstance(value[0], (list, tuple, np.ndarray)):
        table = from_rows(value)
        return None if table is None else _positional(table.rows, width)
    if width == 1:
        return Table(None, [[item] for item in value])
    return Table(None, [list(value)]) if len(value) == width else None


def _positional(rows: Any, width: int) -> Table | None:
    """Accept rows that are as wide as there are outputs."""
    return Table(None, rows) if len(rows) and len(rows[0]) == width else None
