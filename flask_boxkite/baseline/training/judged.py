"""The columns of training data that a validation compares: outputs and actual values, which come in several forms."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from flask_boxkite.baseline.training.collisions import reusable
from flask_boxkite.baseline.training.effects import LIMITS
from flask_boxkite.baseline.training.row_sample import random_rows
from flask_boxkite.baseline.training.tables import as_lazy_frame, named_columns, named_outputs
from flask_boxkite.errors import BaselineError

__all__ = ["first_columns", "judged_columns", "rereadable", "sampled_columns", "single_column"]


def rereadable(data: Any) -> Any:
    """Return a table that can be read twice: iterators, also of a column's values, become lists."""
    if isinstance(data, Iterator) or type(data).__name__ == "zip":
        data = list(data)  # pairs, such as ``df.items()``, or values
    if isinstance(data, Mapping) and any(isinstance(values, Iterator) for values in data.values()):
        return {name: reusable(values) for name, values in data.items()}
    if _is_pairs(data) and any(isinstance(values, Iterator) for _, values in data):
        return [(name, reusable(values)) for name, values in data]
    return data


def _is_pairs(data: Any) -> bool:
    """Say whether *data* has a name and a column in each place."""
    return isinstance(data, (list, tuple)) and all(
        isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in data
    )


def judged_columns(features: Any, inference: Any, actual: Any) -> tuple[dict[str, Any], Any]:
    """Return the outputs by name, and the actual values; the columns of a lazy frame come to this process.

    Args:
        features: Features, in any form.
        inference: Outputs in any form, or the name of a column of *features*.
        actual: Actual values, or the name of a column of *features*.

    Raises:
        BaselineError: There is no such column, or *actual* has several columns.
    """
    of_features = [name for name in (inference, actual) if isinstance(name, str)]
    found = _columns(features, of_features)
    if isinstance(inference, str):
        outputs = {inference: found[inference]}
    elif (frame := as_lazy_frame(inference)) is not None:
        outputs = dict(named_columns(frame.collect(), prefix="output"))
    else:
        outputs = {name: reusable(values) for name, values in named_outputs(inference)}
    return outputs, found[actual] if isinstance(actual, str) else single_column(actual)


def first_columns(features: Any, names: Collection[str]) -> dict[str, Any]:
    """Return columns of the features by name; of a lazy frame, the first rows.

    Args:
        features: Features, in any form that can be read twice.
        names: Names of the columns.
    """
    if (frame := as_lazy_frame(features)) is not None:
        features = frame.select(*names).head(LIMITS.rows).collect()
    return {name: reusable(values) for name, values in named_columns(features, prefix="feature") if name in names}


def sampled_columns(
    features: Any, inference: Any, names: Sequence[str], outputs: Sequence[str], *, rows: int, total: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return columns of features and of outputs by name; of a lazy frame, random rows, the same ones of both.

    Args:
        features: Features, in any form that can be read twice.
        inference: Outputs in any form that can be read twice, or the name of a column of *features*.
        names: Names of the features.
        outputs: Names of the outputs; left out if they are in another lazy frame of DuckDB, which samples other rows.
        rows: Number of rows of a lazy frame.
        total: Number of rows.
    """
    frame, other = as_lazy_frame(features), None if isinstance(inference, str) else as_lazy_frame(inference)
    is_sampled = total > rows and (frame is not None or other is not None)
    if isinstance(inference, str):
        columns = _of_table(features if frame is None else random_rows(frame, [*names, *outputs], rows, total))
        return {name: columns[name] for name in names}, {name: columns[name] for name in outputs}

    of_features = {} if not names else _of_table(features if frame is None else random_rows(frame, names, rows, total))
    if is_sampled and (frame is None or other is None or str(other.implementation) == "duckdb") and names:
        return of_features, {}
    if other is not None:
        return of_features, _of_table(random_rows(other, outputs, rows, total))
    return of_features, {name: reusable(values) for name, values in named_outputs(inference)}


def _of_table(table: Any) -> dict[str, Any]:
    return {name: reusable(values) for name, values in named_columns(table, prefix="feature")}


def _columns(table: Any, names: list[str]) -> Mapping[str, Any]:
    if not names:
        return {}
    frame = as_lazy_frame(table)
    known = list(frame.collect_schema().names()) if frame is not None else None
    if frame is not None and known is not None:
        table = frame.select(*(name for name in names if name in known)).collect()
    columns = {name: reusable(values) for name, values in named_columns(table, prefix="feature")}
    for name in names:
        if name not in columns:
            listed = ", ".join(map(repr, known or columns))
            msg = f"'actual' or 'inference' names the column {name!r}, which 'features' does not have. Known: {listed}."
            raise BaselineError(msg)
    return columns


def single_column(actual: Any) -> Any:
    """Return actual values as one column.

    Raises:
        BaselineError: There are several columns.
    """
    if (frame := as_lazy_frame(actual)) is not None:
        actual = frame.collect()
    is_table = isinstance(actual, Mapping) or hasattr(type(actual), "columns")
    columns = [values for _, values in named_columns(actual, prefix="actual")] if is_table else [actual]
    if len(columns) != 1:
        msg = f"'actual' has {len(columns)} columns. Give the one that belongs to the output."
        raise BaselineError(msg)
    return reusable(columns[0])
