"""Performance of any kind of model in the form that metrics have: validated, and expected from one row of each bin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, RegressionValidation, Validation
from flask_boxkite.performance import binary, classes, regression
from flask_boxkite.performance.metric import Estimate

__all__ = ["expected_losses", "expected_shares", "validated"]

Floats = NDArray[np.float64]


def validated(validation: Validation) -> dict[str, Estimate]:
    """Return the metrics of the validation rows."""
    if isinstance(validation, BinaryValidation):
        return binary.validated(validation)
    if isinstance(validation, ClassValidation):
        return classes.validated(validation)
    return regression.validated(validation)


def expected_shares(validation: Validation) -> Floats:
    """Return the share of each actual value among rows of a bin, in the order of outcome cells; 1 of a number's bin."""
    if isinstance(validation, BinaryValidation):
        positive = binary.positive_shares(validation)
        return np.column_stack([1 - positive, positive])
    if isinstance(validation, ClassValidation):
        return classes.actual_shares(validation)
    return np.ones(len(validation.counts))


def expected_losses(validation: Validation) -> dict[str, Floats]:
    """Return each loss, or error, of a row of each bin, by the names of `OutcomeCells.units`."""
    if isinstance(validation, BinaryValidation):
        return binary.losses_of_rows(validation)
    if isinstance(validation, RegressionValidation):
        return regression.errors_of_rows(validation)
    return {}
