"""Outputs where validation had hardly any: of these, no quality can be expected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.validation import ClassValidation, RegressionValidation, Validation

__all__ = ["FEW_ROWS", "FEW_SHARE", "MOST_OUTSIDE", "ROWS_OUTSIDE", "hardly_validated", "is_foreign", "outside_share"]

FEW_ROWS, FEW_SHARE = 5, 0.005
"""Rows, and share of all validation rows, below which a bin hardly had any; one row of each is added to the share, so
that no empty bin of a small validation is strange."""

MOST_OUTSIDE = 0.05
"""Share of live outputs in such bins up to which the others tell the quality that is to be expected."""

ROWS_OUTSIDE = 10
"""The same as a number of validation rows, one row added to all: of 40 rows, two of 41 further ones are beyond all."""


def hardly_validated(validation: Validation) -> NDArray[np.bool_]:
    """Return whether validation had hardly any rows in each bin, in the shape of `live.judged_counts`.

    Numbers below or above all of validation are always such.

    Args:
        validation: Validation of the model.
    """
    if isinstance(validation, ClassValidation):
        rows = np.sum(np.array(validation.counts), axis=2)
    else:
        rows = np.array(validation.counts if isinstance(validation, RegressionValidation) else validation.bin_rows)
    few: NDArray[np.bool_] = (rows < FEW_ROWS) & (rows + 1 < FEW_SHARE * (rows.sum() + 1))
    if isinstance(validation, RegressionValidation) and rows.any():
        before, after = np.cumsum(rows) == 0, np.cumsum(rows[::-1])[::-1] == 0
        few |= before | after
    return few


def outside_share(validation: Validation, live: NDArray[np.int64]) -> float:
    """Return the share of live outputs in bins where validation had hardly any rows; 0 without outputs.

    Args:
        validation: Validation of the model.
        live: Live rows by bin, as `live.judged_counts` returns them.
    """
    return float(live[hardly_validated(validation)].sum() / max(live.sum(), 1))


def is_foreign(validation: Validation, share: float) -> bool:
    """Say whether no quality can be expected, with this share of outputs in bins that validation hardly had."""
    return share > max(MOST_OUTSIDE, ROWS_OUTSIDE / (validation.rows + 1))
