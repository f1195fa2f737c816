"""Tables of training data in all forms, as pairs of a name and a raw column, which `columns` reads.

They may be mappings, ``(name, column)`` pairs, 2-D arrays, rows by name and, through narwhals, data frames of pandas,
polars, pyarrow and others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flask_boxkite.baseline.training.columns import as_array
from flask_boxkite.errors import BaselineError
from flask_boxkite.values.conversion import to_text
from flask_boxkite.values.paths import leaves

__all__ = ["ONCE", "as_lazy_frame", "named_columns", "named_outputs", "native_frame", "with_classes"]

ONCE = "Names tell the variables apart, so each must be used once."


def named_columns(data: Any, *, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield name and raw column of each variable in *data*, one at a time.

    Args:
        data: Mapping, pairs, 2-D array (also as a list of rows), data frame, or list of rows by name, of which each
            value in a nested object or list has a column, named by its path: ``address.zip``, ``readings.0``.
        prefix: Prefix of names for the columns of an array: ``feature_0``, ``feature_1``, …

    Raises:
        BaselineError: *data* has another form, two columns have one name, or one is a sparse matrix.
    """
    seen: set[str] = set()
    for name, column in _pairs(data, prefix):
        text = str(name)
        if text in seen:
            msg = f"Two columns are named {text!r}. {ONCE}"
            raise BaselineError(msg)
        seen.add(text)
        _refuse_sparse(column, f"Column {text!r} is")
        yield text, column


def named_outputs(inference: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and raw column of each output: a single one without a name is called ``output``.

    Args:
        inference: Values of shape (n,), or several outputs in a form of `named_columns`; an array's columns are named
            ``output_0``, ``output_1``, …, unless there is only one. None for no outputs.
    """
    if inference is None:
        return
    _refuse_containers(inference, "outputs")
    if not _has_columns(inference):
        yield "output", inference
        return
    columns = list(named_columns(inference, prefix="output"))
    if isinstance(inference, (list, tuple)):
        is_array = not (_is_pair(inference[0]) or isinstance(inference[0], Mapping))
    else:
        is_array = isinstance(inference, np.ndarray)
    if len(columns) == 1 and is_array:
        columns = [("output", columns[0][1])]
    yield from columns


def with_classes(inference: Any, classes: Iterable[Any]) -> dict[str, Any]:
    """Name the columns of a classifier's probabilities by its classes.

    Args:
        inference: Probabilities, shape (n, classes), without names.
        classes: Classes, in the order of the columns: ``model.classes_``.

    Raises:
        BaselineError: The probabilities have names or another number of columns, or two classes have one name.
    """
    if isinstance(inference, (str, Mapping)) or hasattr(type(inference), "columns"):
        msg = "'classes' name the columns of an array. What 'inference' is has names: leave 'classes' out."
        raise BaselineError(msg)
    if _is_one_column(inference):
        msg = "'inference' has one value per row, not a probability for each class: leave 'classes' out."
        raise BaselineError(msg)
    names = [to_text(value) or "" for value in classes]
    columns = [column for _, column in named_columns(inference, prefix="output")]
    if len(names) != len(columns):
        msg = f"There are {len(names)} classes, but 'inference' has {len(columns)} columns: one for each is needed."
        raise BaselineError(msg)
    if len(set(names)) < len(names):
        msg = f"Two classes have one name: {', '.join(names)}. {ONCE}"
        raise BaselineError(msg)

    return dict(zip(names, columns, strict=True))


def _is_one_column(inference: Any) -> bool:
    """Return whether an output has one value per row."""
    if _has_columns(inference):
        return False
    if isinstance(inference, (list, tuple)):
        return bool(inference)
    array = as_array(inference)
    return array is not None and array.ndim < 2


def _has_columns(inference: Any) -> bool:
    if isinstance(inference, (list, tuple)):
        return bool(inference) and (
            isinstance(inference[0], (list, tuple, Mapping)) or getattr(inference[0], "ndim", 0) > 0
        )
    # The type is asked, because a lazy frame would have to resolve its columns, and Polars warns of that.
    return isinstance(inference, Mapping) or getattr(inference, "ndim", 1) == 2 or hasattr(type(inference), "columns")


def _refuse_containers(data: Any, what: str) -> None:
    """Refuse forms of tables that would be misread.

    Args:
        data: The table.
        what: ``"features"`` or ``"outputs"``.

    Raises:
        BaselineError: The data is a sparse matrix, or a list of tables, or of arrays that are too long for rows.
    """
    _refuse_sparse(data, f"The {what} are")
    if not isinstance(data, (list, tuple)) or not data:
        return
    dimensions = getattr(data[0], "ndim", 0)
    if dimensions == 0 or any(getattr(item, "ndim", 0) == 0 for item in data):
        return

    shape = data[0].shape
    if dimensions > 1:
        shapes = " and ".join(str(item.shape) for item in data[:2])
        origin = "several outputs gives" if what == "outputs" else "several inputs takes"
        column = min(1, shape[1] - 1)
        msg = (
            f"The {what} are a list of {len(data)} tables of shape {shapes}, as a model of {origin}. Name the column "
            f"that you want of each: {{'first': tables[0][:, {column}], 'second': tables[1][:, {column}]}}"
        )
        raise BaselineError(msg)
    if len(data) < shape[0]:
        msg = (
            f"The {what} are a list of {len(data)} arrays of {shape[0]} values. Name each variable: "
            "{'first': arrays[0], 'second': arrays[1]}. If each is a row, write numpy.stack(arrays)"
        )
        raise BaselineError(msg)


def _refuse_sparse(data: Any, subject: str) -> None:
    """Refuse a sparse matrix of SciPy, whose rows would be read as texts.

    Raises:
        BaselineError: The data is one.
    """
    if hasattr(data, "toarray") and hasattr(data, "nnz"):
        msg = f"{subject} a sparse matrix of shape {data.shape}. Give its values: matrix.toarray()"
        raise BaselineError(msg)


def _pairs(data: Any, prefix: str) -> Iterable[tuple[Any, Any]]:
    _refuse_containers(data, f"{prefix}s")
    if isinstance(data, Mapping):
        return data.items()
    frame = native_frame(data)
    if frame is not None:
        frame = frame.collect() if hasattr(frame, "collect") else frame
        return ((name, frame.get_column(name)) for name in frame.columns)

    if not isinstance(data, np.ndarray) and isinstance(data, Sequence) and data and not _is_pair(data[0]):
        if isinstance(data[0], Mapping):
            return _unnested(data).items()
        data = _stacked(data)
    if (array := as_array(data)) is not None:
        data = array
        if data.ndim != 2:
            msg = f"An array of {prefix}s must have 2 dimensions (rows, columns), got shape {data.shape}."
            raise BaselineError(msg)
        return ((f"{prefix}_{index}", data[:, index]) for index in range(data.shape[1]))

    if isinstance(data, Iterable) and not isinstance(data, (str, bytes)):
        return _checked_pairs(data)
    msg = f"Expected a mapping, (name, column) pairs, rows, a 2-D array or a data frame, got {type(data).__name__}."
    raise BaselineError(msg)


def as_lazy_frame(data: Any) -> Any | None:
    """Return *data* as a narwhals `LazyFrame`, or None if it is not lazy."""
    frame = native_frame(data)
    return frame if hasattr(frame, "collect_schema") and not hasattr(frame, "get_column") else None


def native_frame(data: Any) -> Any | None:
    """Return *data* as a narwhals frame, or None if it is not a data frame."""
    if data is None or isinstance(data, (np.ndarray, list, tuple, Mapping)):
        return None
    import narwhals as nw  # 30 ms, and serving never needs it

    try:
        frame = nw.from_native(data, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        msg = f"Two columns of the data frame have one name. {ONCE}"
        raise BaselineError(msg) from error
    if isinstance(frame, (nw.DataFrame, nw.LazyFrame)):
        return frame
    # A batch of pyarrow would otherwise be read as an array without names.
    is_batch = hasattr(data, "__arrow_c_stream__") and hasattr(data, "num_columns")
    return nw.from_arrow(data, backend="pyarrow") if is_batch else None


def _is_pair(item: Any) -> bool:
    """Say whether an item is a name with a column, rather than a row of two values."""
    return isinstance(item, (tuple, list)) and len(item) == 2 and not np.isscalar(item[1]) and item[1] is not None


def _unnested(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Return a column for each path in rows by name; a value that a row lacks is None.

    Raises:
        BaselineError: A row is no object, or is nested too deeply.
    """
    columns: dict[str, list[Any]] = {}
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            msg = f"Item {index} of the training data must be a row by name, as the first is, got {type(row).__name__}."
            raise BaselineError(msg)
        try:
            for path, value in leaves(row):
                columns.setdefault(path, [None] * len(rows))[index] = value
        except RecursionError:
            msg = f"Item {index} of the training data is nested too deeply. Give each value a column of its own."
            raise BaselineError(msg) from None
    # A missing object is no column: the values below it are missing.
    above = {path[:end] for path in columns for end in range(len(path)) if path[end] == "."}
    return {
        path: values
        for path, values in columns.items()
        if path not in above or any(value is not None for value in values)
    }


def _stacked(rows: Sequence[Any]) -> Any:
    """Return rows of values as an array; other objects unchanged, for a clearer error later."""
    if not all(isinstance(row, (list, tuple, np.ndarray)) for row in rows) or len(set(map(len, rows))) != 1:
        return rows
    array = np.empty((len(rows), len(rows[0])), dtype=object)
    array[:] = [list(row) for row in rows]
    return array


def _checked_pairs(data: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for position, item in enumerate(data):
        if not (isinstance(item, (tuple, list)) and len(item) == 2):
            msg = f"Item {position} of the training data must be a pair (name, column), got {type(item).__name__}."
            raise BaselineError(msg)
        yield item[0], item[1]
