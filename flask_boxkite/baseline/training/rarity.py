"""The variables of a whole row in training: missing values, and rarity by the cells of the features (`derived.row`)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.distribution import Continuous, Distribution
from flask_boxkite.baseline.surprisal import missing_cells, surprisals_of
from flask_boxkite.baseline.training.aligned import as_items
from flask_boxkite.baseline.training.group_codes import cells_of_column
from flask_boxkite.derived.rounding import rounded_number
from flask_boxkite.values.conversion import InvalidValue, is_missing_text
from flask_boxkite.values.times import to_seconds

__all__ = ["row_values"]


def row_values(
    columns: Mapping[str, Any], features: Sequence[Distribution], others: Sequence[Sequence[Any]]
) -> tuple[list[int], list[float]]:
    """Return the number of missing values, and the rarity, of each training row.

    Args:
        columns: Columns of the features by name.
        features: Distributions of the features that are not derived, at least one.
        others: Values of variables that are None where a value in the row is missing, such as a text's length.
    """
    rows = min(len(columns[item.name]) for item in features)
    missing = np.zeros(rows, dtype=np.int64)
    rarity = np.zeros(rows)
    for item in features:
        cells = _cells(item, columns[item.name], rows)
        missing += missing_cells([item])[cells]
        rarity += surprisals_of(item, without=1)[cells]
    for values in others:
        items = as_items(values)[:rows]
        missing += np.array([value is None or value != value for value in items], dtype=np.int64)
    return missing.tolist(), [rounded_number(number / len(features)) for number in rarity.tolist()]


def _cells(item: Distribution, values: Any, rows: int) -> NDArray[np.intp]:
    """Return the cell of each row."""
    if not item.is_time:
        return cells_of_column(item, values, rows)
    return np.array([_cell_of_time(item, value) for value in as_items(values)[:rows]], dtype=np.intp)


def _cell_of_time(item: Distribution, value: Any) -> int:
    """Return the cell of a date or a moment."""
    missing = len(item.cells) - 2
    try:
        seconds = to_seconds(value)
    except InvalidValue:
        return missing if isinstance(value, str) and is_missing_text(value, item.missing_texts) else missing + 1
    if math.isnan(seconds):
        return missing
    if isinstance(item, Continuous):
        return bisect_left(item.upper_bounds, seconds)
    rare = len(item.categories)
    known = {number: cell for cell, number in enumerate(item.values)}
    return known.get(seconds, rare if item.rare else rare + 1)
