"""The group of each row's value, by which the rows of a validation are grouped as live rows are counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.bounds import narrow_bounds
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution
from flask_boxkite.baseline.training.aligned import labels_of_rows, numbers_of_rows, seconds_of_rows, texts_of_rows
from flask_boxkite.naming import short_text
from flask_boxkite.values.conversion import is_missing_text

__all__ = ["cells_of_column", "group_codes", "groups_of_rows", "label_key"]


def group_codes(columns: Mapping[str, Any], features: Sequence[Distribution], rows: int) -> NDArray[np.intp]:
    """Return the group of each value, numbered from 0 over the groups of all features, shape (rows, features).

    Values that cannot be read are taken for missing.

    Args:
        columns: Columns of the features by name, of at least *rows* rows.
        features: Distributions of the features.
        rows: Number of rows, the first ones.
    """
    codes = np.empty((rows, len(features)), dtype=np.intp)
    first = 0
    for place, item in enumerate(features):
        codes[:, place] = first + groups_of_rows(item, columns[item.name], rows)
        first += len(item.groups)
    return codes


def groups_of_rows(item: Distribution, values: Any, rows: int) -> NDArray[np.intp]:
    """Return the group of each value of a column; values that cannot be read are taken for missing.

    Args:
        item: Distribution of the variable.
        values: Column, of at least *rows* rows.
        rows: Number of rows, the first ones.
    """
    groups = np.repeat(np.arange(len(item.groups)), [group.stop - group.start for group in item.groups])
    return groups[cells_of_column(item, values, rows)]


def cells_of_column(item: Distribution, values: Any, rows: int) -> NDArray[np.intp]:
    """Return the cell of each of the first *rows* values, as `group_codes` reads them."""
    missing = len(item.cells) - 2
    if isinstance(item, Continuous):
        numbers = (seconds_of_rows if item.is_time else numbers_of_rows)(values)[:rows]
        limits = narrow_bounds(item.upper_bounds, numbers.dtype).astype(numbers.dtype)
        return np.where(np.isnan(numbers), missing, np.searchsorted(limits, numbers, side="left"))

    if item.is_time:
        known, places = np.unique(seconds_of_rows(values)[:rows], return_inverse=True)
        of_known = np.array(_cells_of_labels(item, known.tolist()), dtype=np.intp)
        return np.where(np.isnan(known), missing, of_known)[places]
    if item.is_text:
        texts, places = texts_of_rows(values, item.missing_texts)
        cells = _cells_of_texts(item, texts, missing)
    else:
        labels, places = labels_of_rows(values, item.missing_texts)
        cells = _cells_of_labels(item, labels)
    return np.array([*cells, missing], dtype=np.intp)[places[:rows]]


def _cells_of_texts(item: Discrete, texts: Sequence[str], missing: int) -> list[int]:
    """Return the cell of each text: ``none`` is missing only where no category is called so."""
    cells = {value: cell for cell, value in enumerate(item.values)}
    return [cells.get(short_text(text), missing if is_missing_text(text) else _other(item)) for text in texts]


def _cells_of_labels(item: Discrete, labels: Sequence[str | float]) -> list[int]:
    cells = {_key(item, value): cell for cell, value in enumerate(item.values)}
    return [cells.get(_key(item, label), _other(item)) for label in labels]


def _key(item: Discrete, label: str | float) -> str | float:
    """Return a label in the form of comparisons, numbers in the width of the training data."""
    key = label_key(label)
    return key if isinstance(key, str) or item.width == 64 else float(np.dtype(f"f{item.width // 8}").type(key))


def _other(item: Discrete) -> int:
    """Return the cell of values that are no category."""
    rare = len(item.categories)
    return rare if item.rare else rare + 1


def label_key(label: str | float) -> str | float:
    """Return a label in the form of comparisons: the text ``1`` names the number 1, but ``nan`` is a text."""
    try:
        number = float(label)
    except ValueError:
        return label
    return label if math.isnan(number) else number
