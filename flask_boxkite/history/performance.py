"""The realised performance of single days, from the outcomes that came on them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation
from flask_boxkite.live.outcome_cells import OutcomeCells
from flask_boxkite.performance import binary, classes, regression
from flask_boxkite.performance.metric import METRICS, Estimate

__all__ = ["HEADLINES", "realised", "validated"]

HEADLINES = {kind: names[0] for kind, names in METRICS.items()}
"""Metric that stands for each kind of model."""


def realised(layout: OutcomeCells, cells: NDArray[np.int64]) -> Mapping[str, Estimate]:
    """Return the metrics of some outcomes.

    Args:
        layout: Meaning of the counts.
        cells: Counts, shape (layout.size,).
    """
    validation, counts, sums = layout.validation, layout.counts(cells), layout.sums(cells)
    if isinstance(validation, BinaryValidation):
        return binary.realised(validation, counts, binary.LossSums(sums["brier"], sums["log_loss"]) if sums else None)
    if isinstance(validation, ClassValidation):
        return classes.realised(validation, counts)
    return regression.realised(regression.ErrorSums(int(counts.sum()), sums["over"], sums["under"], sums["squares"]))


def validated(layout: OutcomeCells, metric: str) -> float | None:
    """Return a metric of the validation rows."""
    validation = layout.validation
    if isinstance(validation, BinaryValidation):
        return binary.validated(validation)[metric].value
    if isinstance(validation, ClassValidation):
        return classes.validated(validation)[metric].value
    return regression.validated(validation)[metric].value
