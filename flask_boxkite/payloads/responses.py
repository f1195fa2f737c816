"""Readers of model answers: the counterpart of the request conventions.

An answer becomes a table with one row per row of the request. The baseline decides whether numbers are several rows or
several outputs of one row. Where an answer has a label and a probability, it also decides which of the two is the
output.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.payloads.fitting import SHARES, can_be, can_be_one, can_be_text, fits, is_known
from flask_boxkite.payloads.requests import csv_table
from flask_boxkite.payloads.table import SCALARS, Table, as_table, from_records, from_rows, known_items
from flask_boxkite.payloads.tensors import is_tensor_list, tensor_columns, tensor_tables
from flask_boxkite.values.conversion import is_base64
from flask_boxkite.values.objects import array_of, fields_of, has_values, is_value, scalar_value, standard, values_of

__all__ = ["csv_output", "found_output", "json_lines_output", "output_key", "output_table", "readable"]

_SEVERAL_ROWS = ("predictions", "outputs", "instances")
_ONE_VALUE = ("prediction", "output", "score", "result", "label")
_MARKS = (*_SEVERAL_ROWS, *_ONE_VALUE, *SHARES, "scores", "labels")


def found_output(
    document: Any, names: Sequence[str], outputs: Sequence[Distribution] = (), rows: int | None = None
) -> Any:
    """Find the output in a JSON answer; raise LookupError if no convention fits.

    Args:
        document: The parsed JSON, or an object with fields by name.
        names: Names of the outputs in the baseline.
        outputs: Distributions of these outputs, which choose between several keys that may hold the output.
        rows: Number of rows in the request; None if unknown.
    """
    if type(document) is not dict and not isinstance(document, Mapping):
        return _opened_answer(document, names, outputs, rows)
    if _are_named(document.keys(), names):
        return {name: document[name] for name in names}
    marked = [key for key in _MARKS if key in document]
    if len(marked) > 1 and outputs:
        return document[_fitting({key: document[key] for key in marked}, outputs, rows)]
    if marked:
        return _below_mark(document[marked[0]], names, outputs, rows)

    data = document.get("data")
    if isinstance(data, Mapping) and "ndarray" in data:
        return data["ndarray"]
    if len(document) == 1:
        return _under_unknown_name(next(iter(document.values())), outputs)
    raise LookupError


def output_key(keys: Collection[Any], names: Sequence[str]) -> str | None:
    """Return the key under which `found_output` finds a single value; None if that depends on more than the keys.

    Args:
        keys: Keys of the answer.
        names: Names of the outputs in the baseline.
    """
    marked = [key for key in _MARKS if key in keys]
    return marked[0] if len(marked) == 1 and not _are_named(keys, names) else None


def _are_named(keys: Collection[Any], names: Sequence[str]) -> bool:
    """Say whether an answer has the outputs under their names in the baseline."""
    return bool(names) and names != ("output",) and all(name in keys for name in names)


def _under_unknown_name(value: Any, outputs: Sequence[Distribution]) -> Any:
    """Return the only value under a name that is neither the baseline's nor a mark, if it can be the outputs."""
    if not outputs:
        return value
    if type(value) in SCALARS:
        is_possible = len(outputs) == 1 and can_be_one(value, outputs[0])
    else:
        # Any number of rows is accepted: once the output is found, a mismatch with the request is reported.
        table = output_table(value, tuple(output.name for output in outputs), None)
        is_possible = table is not None and can_be(table, outputs)
    if not is_possible:
        raise LookupError
    return value


def _opened_answer(document: Any, names: Sequence[str], outputs: Sequence[Distribution], rows: int | None) -> Any:
    """Find the output in an answer other than a JSON object: a list of answers, a Python object, the bare output."""
    if is_value(document):
        if isinstance(document, str) and outputs and not can_be_text(document, outputs):
            raise LookupError
        return document
    if not isinstance(document, (list, np.ndarray)):
        fields = fields_of(document, names)
        if fields is not None:
            return found_output(fields, names, outputs, rows)
        return list(document) if isinstance(document, tuple) else readable(document)
    return _below_mark(document, names, outputs, rows)


def readable(value: Any) -> Any:
    """Return a value in which outputs may be read: a plain one, a list, an array, a frame, an object with known fields.

    Raises:
        LookupError: The value is, or begins with, an object that nothing here can read.
    """
    first = value[0] if type(value) is list and value else value
    if type(first) in SCALARS or isinstance(first, (Mapping, list, tuple)) or is_value(first) or has_values(first):
        return value
    if fields_of(first) is None:
        raise LookupError
    return value


def _below_mark(value: Any, names: Sequence[str], outputs: Sequence[Distribution], rows: int | None) -> Any:
    """Choose a value below the only mark: one of several tensors, or one key of each answer in a list."""
    if not isinstance(value, (list, tuple)) or not value or not outputs:
        return value
    if is_tensor_list(value, names):
        return value if len(value) == 1 else _fitting_tensors(value, names, outputs, rows)
    items = value if type(value[0]) is dict else known_items(value, names)
    if items is None:
        raise LookupError
    if not all(isinstance(item, Mapping) for item in items):
        return value

    value = items
    marked = [key for key in _MARKS if key in value[0]]
    if not marked or not set(names).isdisjoint(value[0]) or any(key not in item for item in value for key in marked):
        return value
    key = marked[0]
    if len(marked) > 1:
        key = _fitting({key: [item[key] for item in value] for key in marked}, outputs, rows)
    return [item[key] for item in value]


def _fitting_tensors(
    tensors: Sequence[Any], names: Sequence[str], outputs: Sequence[Distribution], rows: int | None
) -> Sequence[Any]:
    """Return the tensors that the baseline names, or the only tensor that fits its outputs."""
    if known := [tensor for tensor in tensors if tensor.get("name") in names]:
        return known
    if tensor_columns(tensors) is None:
        return tensors
    by_name = {str(tensor.get("name")): [tensor] for tensor in tensors}
    return by_name[_fitting(by_name, outputs, rows)]


# --- values that fit -------------------------------------------------------------------------------------------------


def _fitting(candidates: Mapping[str, Any], outputs: Sequence[Distribution], rows: int | None) -> str:
    """Return the key of the only candidate that fits the outputs.

    Raises:
        LookupError: Several candidates fit equally, or none fits.
    """
    names = tuple(output.name for output in outputs)
    laid_out = {key: output_table(value, names, rows) for key, value in candidates.items()}
    tables = {key: table for key, table in laid_out.items() if table is not None}
    fitting = [key for key, table in tables.items() if fits(key, table, outputs)]
    if len(fitting) > 1:
        fitting = [key for key in fitting if is_known(tables[key], outputs)]
    if len(fitting) != 1:
        raise LookupError
    return fitting[0]


# --- texts -----------------------------------------------------------------------------------------------------------


def csv_output(text: str) -> Any:
    """Read a ``text/csv`` answer."""
    table = csv_table(text, ())
    if table is None:
        raise LookupError
    return table.rows


def json_lines_output(text: str) -> Any:
    """Read an answer in JSON lines, one row per line.

    Raises:
        ValueError: A line is not JSON.
    """
    return [json.loads(line) for line in text.split("\n") if line.strip()]


# --- rows ------------------------------------------------------------------------------------------------------------


def output_table(value: Any, names: Sequence[str], rows: int | None) -> Table | None:
    """Arrange an output in rows; None if it does not fit.

    Args:
        value: A scalar, a list, an object by name, an array, a Series, a frame, or an object of another library.
        names: Names of the outputs in the baseline; a single output takes any scalar.
        rows: Number of rows in the request; None if unknown.
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
    if width == 1 and is_base64(value):
        return Table(None, [[value]])
    if isinstance(value, Mapping):
        return None if set(names).isdisjoint(value) else as_table(dict(value))
    if type(value) is list or type(value) is tuple or isinstance(value, np.ndarray):
        return _from_list(value, names)
    if is_value(value := scalar_value(value)):
        return Table(None, [[value]]) if width == 1 else None
    if hasattr(type(value), "columns") and (table := as_table(value)) is not None:
        return _from_frame(table, names)
    if (column := values_of(value)) is not None:  # a Series or an Arrow array: one value per row
        return _from_list(column, names)
    if (array := array_of(value)) is not None:
        return _from_list(array, names)
    if (fields := fields_of(value, names)) is not None:
        return _laid_out(fields, names, rows)
    if isinstance(value, (list, tuple)):
        return _from_list(list(value), names)

    table = as_table(value, names)  # Arrow's interfaces
    return None if table is None else _from_frame(table, names)


def _from_frame(table: Table, names: Sequence[str]) -> Table | None:
    """Take the columns by name; a single column is the only output under any name."""
    if table.names is None:
        return _from_list(table.rows[0] if len(table) == 1 else table.rows, names)
    if len(names) > 1 or names[0] in table.names:
        return table
    return _positional(table.rows, 1)


def _from_list(value: Any, names: Collection[str]) -> Table | None:
    width = len(names)
    if isinstance(value, np.ndarray):
        value = standard(value)
        if value.ndim == 0:
            return Table(None, [[value[()]]]) if width == 1 else None
        if value.ndim == 2:
            return _positional(value.copy(), width)
        if value.ndim > 2:
            return None
        if width == 1:
            return Table(None, value[:, np.newaxis].copy())
    if len(value) == 0:
        return Table(None, [])
    if (value := known_items(value, names)) is None:
        return None
    if width == 1 and all(map(is_base64, value)):
        return Table(None, [[item] for item in value])
    if isinstance(value[0], Mapping):
        return from_records(value)

    if isinstance(value[0], (list, tuple, np.ndarray)):
        table = from_rows(value)
        return None if table is None else _positional(table.rows, width)
    if width == 1:
        return Table(None, [[item] for item in value])

    return Table(None, [list(value)]) if len(value) == width else None


def _positional(rows: Any, width: int) -> Table | None:
    """Accept rows with one value per output; None if any row has another width."""
    return Table(None, rows) if len(rows) == 0 or len(rows[0]) == width else None
