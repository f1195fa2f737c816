"""The live counts that performance is expected from: rows in the bins of the judged output, and groups of features."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.distribution import Discrete
from flask_boxkite.baseline.validation import ClassValidation, Validation
from flask_boxkite.baseline.variables import Variable
from flask_boxkite.drift.tables import GroupSums
from flask_boxkite.live.model_cells import ModelCells

__all__ = ["judged_counts", "judged_rows", "output_rows"]


def judged_counts(validation: Validation, layout: ModelCells, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return live rows by bin: (bounds + 1,) of a score or number, (classes, bounds + 1) of classes.

    Rows without a value of the output, or with one that cannot be read, are left out.

    Args:
        validation: Validation of the model.
        layout: Meaning of the cells.
        cells: Live counts of the model.
    """
    if not isinstance(validation, ClassValidation):
        variable = _output(layout, validation.output)
        counts: NDArray[np.int64] = cells[variable.cells][: len(validation.upper_bounds) + 1]
        return counts

    shape = len(validation.classes), len(validation.upper_bounds) + 1
    if len(validation.outputs) > 1:
        return cells[layout.classes_start :][: shape[0] * shape[1]].reshape(shape)
    variable = _output(layout, validation.outputs[0])
    item = variable.distribution
    assert isinstance(item, Discrete)
    by_class = dict(zip(map(_key, item.categories), cells[variable.cells].tolist(), strict=False))
    return np.array([[by_class.get(_key(label), 0)] for label in validation.classes], dtype=np.int64)


def output_rows(validation: Validation, layout: ModelCells, cells: NDArray[np.int64]) -> int:
    """Return the number of live rows with an output, whether it can be read or not."""
    name = validation.outputs[0] if isinstance(validation, ClassValidation) else validation.output
    return int(cells[_output(layout, name).cells].sum())


def _output(layout: ModelCells, name: str) -> Variable:
    return next(item for item in layout.variables if item.side == "output" and item.name == name)


def _key(label: str) -> str | float:
    """Return a label in the form of comparisons: as texts of one set, numbers may be quoted."""
    try:
        return float(label.strip('"'))
    except ValueError:
        return label


def judged_rows(layout: ModelCells, cells: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return live rows per group of each feature, one feature after the other, and the number of all rows."""
    if not layout.features:
        return np.zeros(0, np.int64), 0
    return _groups(layout).of(cells), int(cells[layout.variables[0].cells].sum())


@lru_cache(maxsize=16)
def _groups(layout: ModelCells) -> GroupSums:
    """Return the adder of the features' cells to groups."""
    return GroupSums(layout.variables[: len(layout.features)])
